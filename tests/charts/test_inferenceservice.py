"""What the InferenceService asks of KServe, and how its pods are kept in."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.main import get_command

from serving.__main__ import main
from tests.charts.rendering import VALUES, Document, Helm, set_json

ROLES = ("transformer", "predictor")
GPU = ("--values", str(VALUES / "gpu.yaml"))


def container(service: Document, role: str) -> dict[str, Any]:
    (only,) = service["spec"][role]["containers"]
    return only


def flags(service: Document, role: str) -> dict[str, str]:
    return dict(argument.split("=", 1) for argument in container(service, role)["args"])


@pytest.mark.parametrize("role", ROLES)
def test_pods_are_kept_in(helm: Helm, values: tuple[str, ...], role: str) -> None:
    service = helm.find("InferenceService", *values)
    spec, inner = service["spec"][role], container(service, role)

    assert inner["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
    assert all({"emptyDir", "configMap", "persistentVolumeClaim"} & set(volume) for volume in spec["volumes"])
    assert {mount["name"] for mount in inner["volumeMounts"]} == {
        volume["name"] for volume in spec["volumes"]
    }


def test_the_helm_test_is_kept_in_too(helm: Helm, values: tuple[str, ...]) -> None:
    pod = helm.find("Pod", *values)["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "volumes" not in pod


@pytest.mark.parametrize(("role", "model"), [("transformer", "higr"), ("predictor", "higr-predictor")])
def test_probes_ask_for_the_model_and_liveness_for_the_process(helm: Helm, role: str, model: str) -> None:
    inner = container(helm.find("InferenceService"), role)

    assert inner["readinessProbe"]["httpGet"] == {"path": f"/v2/models/{model}/ready", "port": 8080}
    assert inner["startupProbe"]["httpGet"] == inner["readinessProbe"]["httpGet"]
    assert inner["livenessProbe"]["httpGet"] == {"path": "/", "port": 8080}


@pytest.mark.parametrize(
    ("startup", "period", "failures"), [(300, 5, 60), (301, 5, 61), (1, 5, 1), (7200, 300, 24)]
)
def test_startup_time_becomes_whole_probes(helm: Helm, startup: int, period: int, failures: int) -> None:
    given = set_json(probes__startupSeconds=startup, probes__periodSeconds=period)
    probe = container(helm.find("InferenceService", *given), "predictor")["startupProbe"]

    assert (probe["failureThreshold"], probe["periodSeconds"]) == (failures, period)


@pytest.mark.parametrize("role", ROLES)
def test_both_components_load_the_same_bundle(helm: Helm, role: str) -> None:
    service = helm.find("InferenceService", *set_json(bundle__storageUri="s3://models/higr/7"))
    environment = {entry["name"]: entry["value"] for entry in container(service, role)["env"]}

    assert container(service, role)["name"] == "kserve-container"
    assert environment == {"STORAGE_URI": "s3://models/higr/7"}
    assert flags(service, role)["--bundle"] == "/mnt/models"


def test_the_server_knows_every_flag(helm: Helm) -> None:
    claims = set_json(features__claim="store", predictionLog__claim="log")
    service = helm.find("InferenceService", *claims)
    assert container(service, "transformer")["command"] == ["python", "-m", "serving"]
    server = typer.Typer(add_completion=False)
    server.command()(main)
    known = {option for parameter in get_command(server).params for option in parameter.opts}

    assert {flag for role in ROLES for flag in flags(service, role)} - known == set()


def test_nothing_is_left_for_kserve_to_append(helm: Helm, values: tuple[str, ...]) -> None:
    """KServe appends these to a custom transformer's arguments where none begins with them."""
    arguments = container(helm.find("InferenceService", *values), "transformer")["args"]

    for appended in ("--model_name", "--predictor_host", "--http_port"):
        assert sum(argument.startswith(appended) for argument in arguments) == 1


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ({}, "higr-predictor.models"),
        ({"headlessServices": True}, "higr-predictor.models:8080"),
        ({"headlessServices": True, "deploymentMode": "Knative"}, "higr-predictor.models"),
        ({"fullnameOverride": "slates"}, "slates-predictor.models"),
    ],
)
def test_the_transformer_is_told_where_the_predictor_is(
    helm: Helm, given: dict[str, object], host: str
) -> None:
    assert flags(helm.find("InferenceService", *set_json(**given)), "transformer")["--predictor_host"] == host


def test_a_stopping_pod_answers_on_and_is_given_time(helm: Helm) -> None:
    service = helm.find("InferenceService", *set_json(shutdown__preStopSeconds=7, shutdown__graceSeconds=20))

    for role in ROLES:
        assert container(service, role)["lifecycle"] == {"preStop": {"sleep": {"seconds": 7}}}
        assert service["spec"][role]["terminationGracePeriodSeconds"] == 27


@pytest.mark.parametrize(
    ("given", "flag", "volume"),
    [
        ({"features__claim": "store"}, "--features", {"claimName": "store", "readOnly": True}),
        ({"predictionLog__claim": "log"}, "--log-dir", {"claimName": "log"}),
    ],
)
def test_a_claim_is_mounted_where_its_flag_says(
    helm: Helm, given: dict[str, object], flag: str, volume: dict[str, object]
) -> None:
    service = helm.find("InferenceService", *set_json(**given))
    folder = flags(service, "transformer")[flag]
    mounts = {
        mount["mountPath"]: mount["name"] for mount in container(service, "transformer")["volumeMounts"]
    }
    claims = {
        found["name"]: found.get("persistentVolumeClaim")
        for found in service["spec"]["transformer"]["volumes"]
    }

    assert claims[mounts[folder]] == volume
    assert flag not in flags(helm.find("InferenceService"), "transformer")
    assert flag not in flags(service, "predictor")


def test_a_gpu_and_its_image_are_the_predictors_alone(helm: Helm) -> None:
    service = helm.find("InferenceService", *GPU)

    assert container(service, "predictor")["image"] == "registry.example.org/higr/serve-gpu:0.1.0-cuda"
    assert container(service, "transformer")["image"].startswith(
        "registry.example.org/higr/serve-cpu@sha256:0123"
    )
    assert container(service, "predictor")["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in container(service, "transformer")["resources"]["limits"]
    assert container(service, "predictor")["env"][1] == {
        "name": "FEATURE_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "features", "key": "token"}},
    }


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("claims", [{}, {"features__claim": "store", "predictionLog__claim": "log"}])
def test_knative_takes_the_pods(
    helm: Helm, strict_errors: Callable[[Document], list[str]], role: str, claims: dict[str, object]
) -> None:
    """KServe copies a component into a Knative Service, which refuses fields that a Deployment takes."""
    service = helm.find("InferenceService", *set_json(deploymentMode="Knative", **claims))
    pod = copy.deepcopy(service["spec"][role])
    for kserves_own in ("minReplicas", "maxReplicas"):
        del pod[kserves_own]
    knative = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "higr", "namespace": "models"},
        "spec": {"template": {"spec": pod}},
    }

    assert strict_errors(knative) == []
    pod["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 1}}}
    assert any("lifecycle" in error for error in strict_errors(knative))


@pytest.mark.parametrize("role", ROLES)
def test_a_deployment_takes_the_pods(
    helm: Helm, strict_errors: Callable[[Document], list[str]], role: str
) -> None:
    """What KServe makes of a component in Standard mode, by the core schemas."""
    pod = copy.deepcopy(helm.find("InferenceService", *GPU)["spec"][role])
    for kserves_own in ("minReplicas", "maxReplicas"):
        del pod[kserves_own]
    labels = {"app": f"isvc.slates-{role}"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"slates-{role}", "namespace": "models"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }

    assert strict_errors(deployment) == []
