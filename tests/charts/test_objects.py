"""The objects beside the InferenceService: switch, service account, monitors, notes."""

import pytest

from tests.charts.rendering import Helm, set_json


def test_the_switch_belongs_to_kubectl_unless_values_set_it(helm: Helm) -> None:
    assert "data" not in helm.find("ConfigMap", name="higr-switch")
    for mode in ("auto", "higr", "baseline"):
        assert helm.find("ConfigMap", *set_json(switch__mode=mode), name="higr-switch")["data"] == {
            "mode": mode
        }


def test_moving_the_switch_leaves_the_pods_alone(helm: Helm) -> None:
    moved = helm.find("InferenceService", *set_json(switch__mode="baseline"))

    assert moved == helm.find("InferenceService")


def test_the_switch_is_mounted_as_a_folder_or_it_would_never_change(helm: Helm) -> None:
    transformer = helm.find("InferenceService")["spec"]["transformer"]
    (mount,) = (m for m in transformer["containers"][0]["volumeMounts"] if m["name"] == "switch")

    assert mount == {"name": "switch", "mountPath": "/etc/higr/switch", "readOnly": True}
    assert "--switch=/etc/higr/switch/mode" in transformer["containers"][0]["args"]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "higr"),
        ({"serviceAccount__name": "other"}, "other"),
        ({"serviceAccount__create": False}, "default"),
        ({"serviceAccount__create": False, "serviceAccount__name": "other"}, "other"),
    ],
)
def test_service_account(helm: Helm, given: dict[str, object], name: str) -> None:
    documents = helm.documents(*set_json(**given))
    service = helm.find("InferenceService", *set_json(**given))
    made = [d["metadata"]["name"] for d in documents if d["kind"] == "ServiceAccount"]

    assert {service["spec"][role]["serviceAccountName"] for role in ("transformer", "predictor")} == {name}
    assert made == ([name] if given.get("serviceAccount__create", True) else [])


def test_storage_credentials_are_names_on_the_service_account(helm: Helm) -> None:
    account = helm.find("ServiceAccount", *set_json(serviceAccount__storageSecrets=["s3"]))

    assert account["secrets"] == [{"name": "s3"}]
    assert account["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("mode", "kind", "endpoints", "port", "labels"),
    [
        ("Standard", "ServiceMonitor", "endpoints", "http1", "targetLabels"),
        ("Knative", "PodMonitor", "podMetricsEndpoints", "user-port", "podTargetLabels"),
    ],
)
def test_metrics_of_both_components_are_scraped(
    helm: Helm, mode: str, kind: str, endpoints: str, port: str, labels: str
) -> None:
    given = set_json(
        monitoring__enabled=True, monitoring__labels={"release": "prometheus"}, deploymentMode=mode
    )
    monitor = helm.find(kind, *given)

    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    # The labels KServe puts on what it makes of a component.
    assert monitor["spec"]["selector"]["matchExpressions"] == [
        {"key": "serving.kserve.io/inferenceservice", "operator": "In", "values": ["higr"]},
        {"key": "component", "operator": "In", "values": ["transformer", "predictor"]},
    ]
    assert monitor["spec"][endpoints] == [
        {"port": port, "path": "/metrics", "interval": "15s", "scrapeTimeout": "10s"}
    ]
    assert monitor["spec"][labels] == ["component"]


def test_no_monitor_unless_asked(helm: Helm) -> None:
    assert not {"ServiceMonitor", "PodMonitor"} & {document["kind"] for document in helm.documents()}
