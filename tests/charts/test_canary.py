"""The canary and the route that weighs it."""

import pytest

from tests.charts.rendering import Document, Helm, pods, set_json

CANARY = {
    "canary__enabled": True,
    "canary__storageUri": "s3://models/higr/versions/2",
    "route__enabled": True,
    "route__gateways": [{"name": "public", "namespace": "gateways"}],
}


def backends(route: Document, rule: int = 0) -> list[tuple[str, int, int]]:
    return [(b["name"], b["port"], b["weight"]) for b in route["spec"]["rules"][rule]["backendRefs"]]


def test_a_canary_is_whole(helm: Helm) -> None:
    documents = helm.documents(*set_json(**CANARY))
    service = helm.find("InferenceService", *set_json(**CANARY), name="higr-canary")

    for role in ("transformer", "predictor"):
        (container,) = service["spec"][role]["containers"]
        assert container["env"][0] == {"name": "STORAGE_URI", "value": "s3://models/higr/versions/2"}
        assert (service["spec"][role]["minReplicas"], service["spec"][role]["maxReplicas"]) == (1, 2)
    arguments = service["spec"]["transformer"]["containers"][0]["args"]
    assert "--predictor_host=higr-canary-predictor.models" in arguments
    assert {running.part for running in pods(documents)} >= {"canary-transformer", "canary-predictor"}


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ({}, [("higr-transformer", 80, 100), ("higr-canary-transformer", 80, 0)]),
        ({"canary__weight": 25}, [("higr-transformer", 80, 75), ("higr-canary-transformer", 80, 25)]),
        ({"canary__weight": 100}, [("higr-transformer", 80, 0), ("higr-canary-transformer", 80, 100)]),
        ({"canary__weight": 0}, [("higr-transformer", 80, 100), ("higr-canary-transformer", 80, 0)]),
        ({"canary__enabled": False}, [("higr-transformer", 80, 100)]),
    ],
)
def test_the_route_weighs_both_sides(
    helm: Helm, given: dict[str, object], weights: list[tuple[str, int, int]]
) -> None:
    route = helm.find("HTTPRoute", *set_json(**CANARY | given))

    assert route["metadata"]["name"] == "higr"
    assert backends(route) == weights
    assert route["spec"]["parentRefs"][0]["name"] == "public"


def test_feedback_goes_to_the_collector_whichever_side_made_the_slate(helm: Helm) -> None:
    route = helm.find("HTTPRoute", *set_json(**CANARY, feedback__enabled=True, feedback__claim="log"))

    assert route["spec"]["rules"][1]["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1/feedback"}}]
    assert backends(route, 1) == [("higr-feedback-predictor", 80, 1)]


def test_the_baseline_alone_is_routed_to_where_kserve_has_it(helm: Helm) -> None:
    route = helm.find("HTTPRoute", *set_json(route__enabled=True, baselineOnly=True))

    assert backends(route) == [("higr-predictor", 80, 100)]


def test_kserve_makes_no_route_of_the_same_name(helm: Helm) -> None:
    """In Standard mode over the Gateway API it would be called as the InferenceService is, and as ours."""
    label = "networking.kserve.io/visibility"
    routed = helm.documents(*set_json(**CANARY, feedback__enabled=True, feedback__claim="log"))
    services = [document for document in routed if document["kind"] == "InferenceService"]

    assert len(services) == 3
    assert all(service["metadata"]["labels"][label] == "cluster-local" for service in services)
    assert label not in helm.find("InferenceService")["metadata"]["labels"]


def test_the_collector_is_one_process_that_has_its_folder_to_itself(helm: Helm) -> None:
    given = set_json(feedback__enabled=True, feedback__claim="log", deploymentMode="Knative")
    service = helm.find("InferenceService", *given, name="higr-feedback")
    component = service["spec"]["predictor"]

    assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert (component["minReplicas"], component["maxReplicas"]) == (1, 1)
    assert component["deploymentStrategy"] == {"type": "Recreate"}
    assert "--feedback-dir=/var/log/higr-feedback" in component["containers"][0]["args"]
    assert {"name": "feedback-log", "mountPath": "/var/log/higr-feedback"} in component["containers"][0][
        "volumeMounts"
    ]
