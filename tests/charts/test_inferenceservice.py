"""What the InferenceService asks of KServe, and how its pods are kept in."""

from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.main import get_command

from serving.__main__ import main
from tests.charts.rendering import FULL, VALUES, Document, Helm, pods, set_json

ROLES = ("transformer", "predictor")
GPU = ("--values", str(VALUES / "gpu.yaml"))


def stable(helm: Helm, *arguments: str) -> Document:
    """The InferenceService that clients ask, alone where neither canary nor collector is on."""
    return helm.find("InferenceService", *arguments)


def container(service: Document, role: str) -> dict[str, Any]:
    (only,) = service["spec"][role]["containers"]
    return only


def flags(service: Document, role: str) -> dict[str, str]:
    return dict(argument.split("=", 1) for argument in container(service, role)["args"])


@pytest.mark.parametrize(("role", "model"), [("transformer", "higr"), ("predictor", "higr-predictor")])
def test_probes_ask_for_the_model_and_liveness_for_the_process(helm: Helm, role: str, model: str) -> None:
    inner = container(stable(helm), role)

    assert inner["readinessProbe"]["httpGet"] == {"path": f"/v2/models/{model}/ready", "port": 8080}
    assert inner["startupProbe"]["httpGet"] == inner["readinessProbe"]["httpGet"]
    assert inner["livenessProbe"]["httpGet"] == {"path": "/", "port": 8080}


@pytest.mark.parametrize(
    ("startup", "period", "failures"), [(300, 5, 60), (301, 5, 61), (1, 5, 1), (7200, 300, 24)]
)
def test_startup_time_becomes_whole_probes(helm: Helm, startup: int, period: int, failures: int) -> None:
    given = set_json(probes__startupSeconds=startup, probes__periodSeconds=period)
    probe = container(stable(helm, *given), "predictor")["startupProbe"]

    assert (probe["failureThreshold"], probe["periodSeconds"]) == (failures, period)


@pytest.mark.parametrize("role", ROLES)
def test_both_components_load_the_same_bundle(helm: Helm, role: str) -> None:
    service = stable(helm, *set_json(bundle__storageUri="s3://models/higr/7"))
    environment = {entry["name"]: entry["value"] for entry in container(service, role)["env"]}

    assert container(service, role)["name"] == "kserve-container"
    assert environment == {"STORAGE_URI": "s3://models/higr/7"}
    assert flags(service, role)["--bundle"] == "/mnt/models"


def test_the_server_knows_every_flag(helm: Helm) -> None:
    server = typer.Typer(add_completion=False)
    server.command()(main)
    known = {option for parameter in get_command(server).params for option in parameter.opts}
    processes = [
        running.spec["containers"][0]
        for arguments in (FULL, set_json(baselineOnly=True))
        for running in pods(helm.documents(*arguments))
        if running.replicas
    ]

    assert len(processes) == 6
    for process in processes:
        assert process["command"] == ["python", "-m", "serving"]
        assert {argument.split("=")[0] for argument in process["args"]} - known == set()


def test_nothing_is_left_for_kserve_to_append(helm: Helm, values: tuple[str, ...]) -> None:
    """KServe appends these to a custom transformer's arguments where none begins with them."""
    for running in pods(helm.documents(*values)):
        if running.replicas and "--role=transformer" in running.spec["containers"][0]["args"]:
            arguments = running.spec["containers"][0]["args"]
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
    assert flags(stable(helm, *set_json(**given)), "transformer")["--predictor_host"] == host


def test_a_stopping_pod_answers_on_and_is_given_time(helm: Helm) -> None:
    service = stable(helm, *set_json(shutdown__preStopSeconds=7, shutdown__graceSeconds=20))

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
    service = stable(helm, *set_json(**given))
    folder = flags(service, "transformer")[flag]
    mounts = {
        mount["mountPath"]: mount["name"] for mount in container(service, "transformer")["volumeMounts"]
    }
    claims = {
        found["name"]: found.get("persistentVolumeClaim")
        for found in service["spec"]["transformer"]["volumes"]
    }

    assert claims[mounts[folder]] == volume
    assert flag not in flags(stable(helm), "transformer")
    assert flag not in flags(service, "predictor")


def test_a_gpu_and_its_image_are_the_predictors_alone(helm: Helm) -> None:
    service = stable(helm, *GPU)

    assert container(service, "predictor")["image"] == "registry.example.org/higr/serve-gpu:0.1.0-cuda"
    assert container(service, "transformer")["image"].startswith(
        "registry.example.org/higr/serve-cpu@sha256:0123"
    )
    assert container(service, "predictor")["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in container(service, "transformer")["resources"]["limits"]
    assert {
        "name": "FEATURE_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "features", "key": "token"}},
    } in container(service, "predictor")["env"]


@pytest.mark.parametrize("claims", [{}, {"features__claim": "store", "predictionLog__claim": "log"}])
def test_knative_takes_the_pods(
    helm: Helm, strict_errors: Callable[[Document], list[str]], claims: dict[str, object]
) -> None:
    """KServe copies a component into a Knative Service, which refuses fields that a Deployment takes."""
    documents = helm.documents(*set_json(deploymentMode="Knative", **claims))
    components = [running for running in pods(documents) if running.replicas]

    assert {running.part for running in components} == {"transformer", "predictor"}
    for running in components:
        pod = {**running.spec}
        knative = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "higr", "namespace": "models"},
            "spec": {"template": {"spec": pod}},
        }
        assert strict_errors(knative) == []
        pod["terminationGracePeriodSeconds"] = 30
        assert any("terminationGracePeriodSeconds" in error for error in strict_errors(knative))


@pytest.mark.parametrize("arguments", [GPU, FULL, set_json(baselineOnly=True)])
def test_a_deployment_takes_the_pods(
    helm: Helm, strict_errors: Callable[[Document], list[str]], arguments: tuple[str, ...]
) -> None:
    """What KServe makes of a component in Standard mode, by the core schemas."""
    components = [running for running in pods(helm.documents(*arguments)) if running.replicas]

    assert components
    for running in components:
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"slates-{running.part}", "namespace": "models"},
            "spec": {
                "selector": {"matchLabels": running.labels},
                "template": {"metadata": {"labels": running.labels}, "spec": running.spec},
            },
        }
        assert strict_errors(deployment) == []


def test_pods_of_a_part_lie_apart_and_are_drained_one_at_a_time(helm: Helm) -> None:
    documents = helm.documents()
    budgets = {
        document["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]: document["spec"]
        for document in documents
        if document["kind"] == "PodDisruptionBudget"
    }

    for running in (running for running in pods(documents) if running.replicas):
        assert budgets[running.part]["maxUnavailable"] == 1
        assert budgets[running.part]["selector"]["matchLabels"] == running.labels
        spread = running.spec["topologySpreadConstraints"]
        assert [entry["topologyKey"] for entry in spread] == [
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        ]
        assert all(entry["labelSelector"]["matchLabels"] == running.labels for entry in spread)


def test_the_baseline_alone_is_a_transformer_where_kserve_wants_a_predictor(helm: Helm) -> None:
    service = stable(helm, *set_json(baselineOnly=True))
    given = flags(service, "predictor")

    assert set(service["spec"]) == {"predictor"}
    assert given["--role"] == "transformer"
    assert given["--model_name"] == "higr"
    # Port 9 of the pod itself: nobody listens, so a switch that leaves baseline costs no wait.
    assert given["--predictor_host"] == "127.0.0.1:9"
    assert container(service, "predictor")["readinessProbe"]["httpGet"]["path"] == "/v2/models/higr/ready"
    assert helm.find("ConfigMap", *set_json(baselineOnly=True), name="higr-switch")["data"] == {
        "mode": "baseline"
    }
    assert helm.find("Pod", *set_json(baselineOnly=True))["spec"]["containers"][0]["args"][1] == (
        "http://higr-predictor.models"
    )
