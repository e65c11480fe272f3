"""One release through its life: real Helm and kubectl against an emulated API server."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.charts.rendering import CHART, FULL, Helm, set_json
from tests.kube import emulated
from tests.tools import require


@dataclass(frozen=True)
class Cluster:
    """Helm and kubectl pointed at one API server and one namespace."""

    helm: Helm
    kubectl_binary: Path
    environment: dict[str, str]

    def release(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(self.helm.binary, *arguments, "--namespace", "models")

    def kubectl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(self.kubectl_binary, *arguments, "--namespace", "models")

    def get(self, what: str) -> dict[str, Any]:
        finished = self.kubectl("get", what, "--output", "json")
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)

    def patch(self, what: str, change: object) -> None:
        """A JSON patch where it is a list, a merge patch where it is an object."""
        kind = "json" if isinstance(change, list) else "merge"
        finished = self.kubectl("patch", what, "--type", kind, "-p", json.dumps(change))
        assert finished.returncode == 0, finished.stderr

    def create(self, kind: str, name: str, *keys: str) -> None:
        """A secret or ConfigMap with these keys."""
        which = ("secret", "generic") if kind == "secret" else ("configmap",)
        pairs = [f"--from-literal={key}=x" for key in keys]
        finished = self.kubectl("create", *which, name, *pairs)
        assert finished.returncode == 0, finished.stderr

    def _run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=self.environment, timeout=60
        )


@contextmanager
def cluster_with(helm: Helm, folder: Path, crds: str = "") -> Iterator[Cluster]:
    kubectl = require("kubectl")
    folders = {name: str(folder / name) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    with emulated(folder, crds=crds) as environment:
        yield Cluster(helm, kubectl, os.environ | folders | environment)


@pytest.fixture
def cluster(each_helm: Helm, tmp_path: Path) -> Iterator[Cluster]:
    with cluster_with(each_helm, tmp_path) as found:
        yield found


def test_a_release_lives_and_leaves_nothing(cluster: Cluster) -> None:
    # 1. Install: ready, and the switch is nobody's.
    installed = cluster.release("upgrade", "--install", "higr", str(CHART), "--wait", "--timeout", "30s")
    assert installed.returncode == 0, installed.stderr
    assert "kubectl patch configmap higr-switch" in installed.stdout
    assert "data" not in cluster.get("configmap/higr-switch")

    # 2. A person on call puts the baseline in charge, with the command the notes give.
    moved = cluster.kubectl(
        "patch", "configmap", "higr-switch", "--type", "merge", "-p", '{"data":{"mode":"baseline"}}'
    )
    assert moved.returncode == 0, moved.stderr

    # 3. An upgrade reaches the InferenceService and leaves the switch alone.
    bundle = ("--set-json", 'bundle.storageUri="s3://models/higr/2"')
    upgraded = cluster.release("upgrade", "higr", str(CHART), "--wait", "--timeout", "30s", *bundle)
    assert upgraded.returncode == 0, upgraded.stderr
    assert bundles(cluster) == {"s3://models/higr/2"}
    assert cluster.get("configmap/higr-switch")["data"] == {"mode": "baseline"}

    # 4. A misspelt value changes nothing.
    refused = cluster.release("upgrade", "higr", str(CHART), "--set-json", "replica=3")
    assert refused.returncode != 0
    assert bundles(cluster) == {"s3://models/higr/2"}

    # 5. A rollback brings both components back to one bundle, and leaves the switch alone.
    rolled_back = cluster.release("rollback", "higr", "1", "--wait", "--timeout", "30s")
    assert rolled_back.returncode == 0, rolled_back.stderr
    assert bundles(cluster) == {"pvc://higr-bundles/current"}
    assert cluster.get("configmap/higr-switch")["data"] == {"mode": "baseline"}

    # 6. Uninstall leaves nothing of the chart's.
    removed = cluster.release("uninstall", "higr", "--wait", "--timeout", "30s")
    assert removed.returncode == 0, removed.stderr
    assert left(cluster) == []


def test_what_a_rollout_did_survives_upgrades(cluster: Cluster) -> None:
    stable, candidate = "s3://models/higr/versions/e2cc864a8345", "s3://models/higr/versions/0123456789ab"
    given: dict[str, object] = {
        "bundle__storageUri": stable, "canary__storageUri": candidate, "canary__enabled": True,
        "route__enabled": True, "monitoring__enabled": True, "rollout__enabled": True,
        "feedback__enabled": True, "feedback__claim": "feedback", "predictionLog__claim": "predictions",
        "outcomes__enabled": True,
    }  # fmt: skip

    def upgrade(**more: object) -> None:
        done = cluster.release("upgrade", "--install", "higr", str(CHART), *set_json(**given | more))
        assert done.returncode == 0, done.stderr

    # 1. A canary that nobody is sent to yet.
    upgrade()
    assert (bundles(cluster), bundles(cluster, "higr-canary")) == ({stable}, {candidate})
    assert weights(cluster) == [100, 0]

    # 2. The rollout is at its second step: an upgrade of something else leaves that alone.
    cluster.patch("httproute/higr", [weigh(0, 75), weigh(1, 25)])
    cluster.patch("configmap/higr-rollout", {"data": {"state": "step 2"}})
    upgrade(deadline__milliseconds=250)
    assert weights(cluster) == [75, 25]
    assert cluster.get("configmap/higr-rollout")["data"] == {"state": "step 2"}

    def promote() -> None:
        both = [serve(role, candidate) for role in ("transformer", "predictor")]
        cluster.patch("inferenceservice/higr", both)
        cluster.patch("configmap/higr-bundle", {"data": {"stable": candidate}})

    # 3. It promotes: the next upgrade keeps the bundle, and the collector follows.
    promote()
    cluster.patch("httproute/higr", [weigh(0, 100), weigh(1, 0)])
    upgrade()
    assert bundles(cluster) == bundles(cluster, "higr-feedback") == {candidate}
    assert cluster.get("configmap/higr-bundle")["data"]["stable"] == candidate
    assert weights(cluster) == [100, 0]

    # 4. Another URI in the values is an order; so are a weight, and the old URI where it is pinned.
    third = "s3://models/higr/versions/333333333333"
    upgrade(bundle__storageUri=third, canary__weight=10)
    assert bundles(cluster) == {third}
    assert weights(cluster) == [90, 10]
    pinned: dict[str, object] = {"bundle__storageUri": third, "bundle__pin": True}
    for milliseconds in (250, 200):  # twice: Helm 3 sees what differs from its last revision alone
        promote()
        upgrade(**pinned, deadline__milliseconds=milliseconds)
        assert bundles(cluster) == {third}
        assert cluster.get("configmap/higr-bundle")["data"]["stable"] == third

    # What was put back is no reason to replace the pods again.
    before = cluster.get("inferenceservice/higr")["spec"]
    upgrade(**pinned, deadline__milliseconds=200)
    assert cluster.get("inferenceservice/higr")["spec"] == before

    # A rollback over a promotion, as docs/chart.md has it.
    promote()
    force = ["--force"] if "helm3" in cluster.helm.binary.name else []
    done = cluster.release("rollback", "higr", *force)
    assert done.returncode == 0, done.stderr
    assert bundles(cluster) == {third}

    # 5. Without a canary the route is whole again.
    upgrade(canary__enabled=False, rollout__enabled=False)
    assert weights(cluster) == [100]


def test_an_upgrade_that_the_cluster_refuses_is_taken_back(cluster: Cluster) -> None:
    redis = set_json(redis__enabled=True, redis__passwordSecret__name="redis")
    install = ("upgrade", "--install", "higr", str(CHART), *redis, "--wait", "--timeout", "60s")
    first = cluster.release(*install)
    assert first.returncode == 0, first.stderr
    before = cluster.get("inferenceservice/higr")["spec"]

    # The volume of a StatefulSet cannot be resized: the API server refuses it midway.
    back = "--atomic" if "helm3" in cluster.helm.binary.name else "--rollback-on-failure"
    refused = cluster.release(*install, back, *set_json(redis__size="9Gi", deadline__milliseconds=250))

    assert refused.returncode != 0
    assert "higr-redis" in refused.stderr
    assert cluster.get("inferenceservice/higr")["spec"] == before
    status = cluster.release("status", "higr", "--output", "json")
    assert json.loads(status.stdout)["info"]["status"] == "deployed"


def test_a_secret_that_is_missing_is_named_before_anything_is_made(cluster: Cluster) -> None:
    install = ("upgrade", "--install", "higr", str(CHART), *FULL, "--wait", "--timeout", "60s")

    def refused() -> str:
        finished = cluster.release(*install)
        assert finished.returncode != 0
        assert left(cluster) == []
        return finished.stderr

    # Every namespace of a real cluster has it; by it the chart knows that a cluster is asked.
    cluster.create("configmap", "kube-root-ca.crt")
    assert "secret higr-clients, which auth.clients names, is not in namespace models" in refused()
    cluster.create("secret", "higr-clients", "token")
    assert "secret higr-clients has no key tokens: add it" in refused()
    cluster.patch("secret/higr-clients", {"stringData": {"tokens": "a"}})
    for name, *keys in SECRETS:
        cluster.create("secret", name, *keys)
    done = cluster.release(*install)
    assert done.returncode == 0, done.stderr
    # A whole production goes as it came.
    removed = cluster.release("uninstall", "higr", "--wait", "--timeout", "30s")
    assert removed.returncode == 0, removed.stderr
    assert left(cluster) == []
    assert cluster.get("secret/higr-redis")["data"]


def test_a_platform_without_a_kind_is_told_at_once(helm: Helm, tmp_path: Path) -> None:
    with cluster_with(helm, tmp_path, crds="kserve-v0.18.0-crds.yaml") as bare:
        refused = bare.release("install", "higr", str(CHART), *set_json(monitoring__enabled=True))
        assert refused.returncode != 0
        assert "no monitoring.coreos.com/v1/ServiceMonitor, which monitoring.enabled needs" in refused.stderr
        assert bare.get("inferenceservices,configmaps,serviceaccounts")["items"] == []
        assert bare.release("install", "higr", str(CHART)).returncode == 0


SECRETS = (
    ("higr-predictor-token", "token", "tokens"), ("higr-test-client", "token"), ("higr-redis", "password"),
    ("higr-log-key", "key"), ("higr-alerts", "pager", "daylight", "dead-man"), ("registry",),
    ("s3-credentials", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)  # fmt: skip

KINDS = (
    "inferenceservices,servingruntimes,httproutes,configmaps,serviceaccounts,roles,rolebindings,services,pods,"
    "deployments,statefulsets,cronjobs,jobs,networkpolicies,poddisruptionbudgets,servicemonitors,podmonitors,"
    "prometheusrules,alertmanagerconfigs,secrets"
)


def left(cluster: Cluster) -> list[str]:
    """What there is of the chart's."""
    items = cluster.get(KINDS)["items"]
    part_of = "app.kubernetes.io/part-of"
    made = [item for item in items if item["metadata"].get("labels", {}).get(part_of) == "higr"]
    return [f"{item['kind']}/{item['metadata']['name']}" for item in made]


def bundles(cluster: Cluster, name: str = "higr") -> set[str]:
    """Bundles of the components; one, or tokenizer, model and catalogue would not belong together."""
    spec = cluster.get(f"inferenceservice/{name}")["spec"]
    return {component["containers"][0]["env"][0]["value"] for component in spec.values()}


def weights(cluster: Cluster) -> list[int]:
    return [ref["weight"] for ref in cluster.get("httproute/higr")["spec"]["rules"][0]["backendRefs"]]


def weigh(place: int, weight: int) -> dict[str, object]:
    return {"op": "replace", "path": f"/spec/rules/0/backendRefs/{place}/weight", "value": weight}


def serve(role: str, uri: str) -> dict[str, object]:
    return {"op": "replace", "path": f"/spec/{role}/containers/0/env/0/value", "value": uri}
