"""One release through its life: real Helm and kubectl against an emulated API server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.charts.rendering import CHART, Helm
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

    def _run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=self.environment, timeout=60
        )


@pytest.fixture
def cluster(each_helm: Helm, tmp_path: Path) -> Iterator[Cluster]:
    tools, crds, kubectl = require("kube-tools").parent, require("crds"), require("kubectl")
    sys.path.insert(0, str(tools))
    try:
        from kube_emulator import Emulator
    finally:
        sys.path.remove(str(tools))
    folders = {
        name: str(tmp_path / name) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
    }
    with Emulator(crd_paths=[str(crds)], namespaces=["models"]) as emulator:
        kubeconfig = emulator.write_kubeconfig(tmp_path / "kubeconfig.yaml", namespace="models")
        environment = (
            os.environ
            | folders
            | {"KUBECONFIG": str(kubeconfig), "KUBECACHEDIR": str(tmp_path / "kube"), "HOME": str(tmp_path)}
        )
        yield Cluster(each_helm, kubectl, environment)


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
    left = cluster.get("inferenceservices,configmaps,serviceaccounts,secrets,pods")["items"]
    assert [item["metadata"]["name"] for item in left if "higr" in item["metadata"]["name"]] == []


def bundles(cluster: Cluster) -> set[str]:
    """Bundles of the components; one, or tokenizer, model and catalogue would not belong together."""
    spec = cluster.get("inferenceservice/higr")["spec"]
    return {spec[role]["containers"][0]["env"][0]["value"] for role in ("transformer", "predictor")}
