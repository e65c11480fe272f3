"""What pods and accounts of the chart may do: as little as they can, with every set of values."""

import re
from typing import Any

import pytest

from tests.charts.rendering import FULL, Document, Helm, pods, set_json

NO_SERVICES_TOKEN = {"drift", "rollout"}
"""The only parts that speak to the API server."""


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def runtime(documents: list[Document]) -> list[dict[str, Any]]:
    return [document["spec"] for document in documents if document["kind"] == "ServingRuntime"]


def test_pods_are_kept_in(helm: Helm, values: tuple[str, ...]) -> None:
    documents = helm.documents(*values)
    for spec in [*(running.spec for running in pods(documents)), *runtime(documents)]:
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        sources = {"emptyDir", "configMap", "secret", "persistentVolumeClaim"}
        assert all(set(volume) & sources for volume in spec.get("volumes", []))
        mounted: set[str] = set()
        for container in containers(spec):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            assert set(container["resources"]) <= {"requests", "limits"}
            mounted |= {mount["name"] for mount in container.get("volumeMounts", [])}
            assert all("subPath" not in mount for mount in container.get("volumeMounts", []))
        templates = {"data"}  # of a StatefulSet
        assert mounted - templates == {volume["name"] for volume in spec.get("volumes", [])} - templates


def test_no_container_is_without_a_memory_limit(helm: Helm) -> None:
    for running in pods(helm.documents(*FULL)):
        for container in containers(running.spec):
            assert container["resources"]["limits"]["memory"], running.part


def test_only_what_needs_it_may_speak_to_the_api_server(helm: Helm, values: tuple[str, ...]) -> None:
    documents = helm.documents(*values)
    allowed = {
        subject["name"]
        for document in documents
        if document["kind"] == "RoleBinding"
        for subject in document["subjects"]
    }

    for account in (document for document in documents if document["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for running in pods(documents):
        asks = running.spec["automountServiceAccountToken"]
        assert asks is (running.part in NO_SERVICES_TOKEN), running.part
        assert asks is (running.spec.get("serviceAccountName") in allowed), running.part


def test_parts_beside_serving_have_an_account_each(helm: Helm) -> None:
    documents = helm.documents(*FULL)
    made = {document["metadata"]["name"] for document in documents if document["kind"] == "ServiceAccount"}
    beside = [running for running in pods(documents) if not running.replicas and running.part != "test"]

    assert {running.spec["serviceAccountName"] for running in beside} == made - {"higr"}
    assert all(running.spec["serviceAccountName"] == f"higr-{running.part}" for running in beside)


def test_no_role_is_wider_than_its_names(helm: Helm, values: tuple[str, ...]) -> None:
    for role in (document for document in helm.documents(*values) if document["kind"] == "Role"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            if rule["resources"] == ["events"]:  # they have no name before they are made
                assert rule["verbs"] == ["create"]
            else:
                assert set(rule["verbs"]) == {"get", "patch"}
                assert rule["resourceNames"]


def test_the_drift_job_may_move_the_switch_and_nothing_else(helm: Helm) -> None:
    assert helm.find("Role", *FULL, name="higr-drift")["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["higr-switch"],
            "verbs": ["get", "patch"],
        }
    ]
    watching = [document["kind"] for document in helm.documents(*FULL, *set_json(drift__movesSwitch=False))]
    assert watching.count("Role") == 1  # the rollout's


def test_the_rollout_may_touch_its_objects_by_name(helm: Helm) -> None:
    rules = {
        resource: rule.get("resourceNames")
        for rule in helm.find("Role", *FULL, name="higr-rollout")["rules"]
        for resource in rule["resources"]
    }

    assert rules == {
        "httproutes": ["higr"],
        "inferenceservices": ["higr", "higr-canary"],
        "configmaps": ["higr-bundle", "higr-rollout"],
        "events": None,
    }
    made = {document["metadata"]["name"] for document in helm.documents(*FULL)}
    assert {name for names in rules.values() for name in names or ()} <= made


@pytest.mark.parametrize("kind", ["ClusterRole", "ClusterRoleBinding", "Secret", "CustomResourceDefinition"])
def test_never_rendered(helm: Helm, values: tuple[str, ...], kind: str) -> None:
    assert kind not in {document["kind"] for document in helm.documents(*values)}


def test_secrets_are_named_and_never_shown(helm: Helm, values: tuple[str, ...]) -> None:
    for running in pods(helm.documents(*values)):
        for container in containers(running.spec):
            for entry in container.get("env", []):
                if re.search("PASSWORD|TOKEN|SECRET|CREDENTIAL|ACCESS_KEY", entry["name"]):
                    assert set(entry["valueFrom"]) == {"secretKeyRef"}, entry["name"]
            arguments = [*container.get("command", []), *container.get("args", [])]
            assert not any("$(HIGR_REDIS_PASSWORD)" in argument for argument in arguments)


def test_only_what_reads_the_store_has_its_credentials(helm: Helm) -> None:
    holders = {
        (running.part, container["name"])
        for running in pods(helm.documents(*FULL))
        for container in containers(running.spec)
        if any(entry["name"] == "AWS_SECRET_ACCESS_KEY" for entry in container.get("env", []))
    }

    assert holders == {("drift", "bundle"), ("outcomes", "bundle"), ("rollout", "rollout")}
