"""The chart, rendered by real Helm."""

import functools
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.tools import REPOSITORY

CHART = REPOSITORY / "charts" / "higr"
VALUES = Path(__file__).parent / "values"
# What the chart asks a cluster for; `helm template` asks none.
KINDS = (
    "serving.kserve.io/v1beta1/InferenceService",
    "serving.kserve.io/v1alpha1/ServingRuntime",
    "serving.knative.dev/v1/Service",
    "gateway.networking.k8s.io/v1/HTTPRoute",
    "keda.sh/v1alpha1/ScaledObject",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
    "monitoring.coreos.com/v1alpha1/AlertmanagerConfig",
)
FULL = tuple(
    part
    for path in (CHART / "values-prod-cpu.yaml", VALUES / "rollout.yaml")
    for part in ("--values", str(path))
)
"""Helm arguments under which everything is there that can be there at once."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Helm:
    """One Helm binary and what the tests ask of it."""

    binary: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.binary, *arguments], capture_output=True, text=True, check=False)

    def template(
        self, *arguments: str, kinds: tuple[str, ...] = KINDS, release: str = "higr"
    ) -> subprocess.CompletedProcess[str]:
        known = (part for kind in kinds for part in ("--api-versions", kind))
        return self.run("template", release, str(CHART), "--namespace", "models", *known, *arguments)

    def text(self, *arguments: str) -> str:
        """Rendered manifests as text; the arguments are Helm's."""
        return _render(self, arguments)

    def documents(self, *arguments: str) -> list[Document]:
        return [document for document in yaml.safe_load_all(self.text(*arguments)) if document]

    def find(self, kind: str, *arguments: str, name: str | None = None) -> Document:
        """The one document of a kind (and name)."""
        (found,) = (
            document
            for document in self.documents(*arguments)
            if document["kind"] == kind and name in (None, document["metadata"]["name"])
        )
        return found


@dataclass(frozen=True)
class Pods:
    """What becomes pods of one kind.

    Attributes:
        part: its label app.kubernetes.io/component.
        spec: of the pod.
        replicas: fields KServe takes out before it makes a pod of the rest.
    """

    part: str
    labels: dict[str, str]
    spec: dict[str, Any]
    replicas: dict[str, Any]


KSERVES_OWN = (
    "minReplicas", "maxReplicas", "labels", "annotations", "scaleMetric", "scaleTarget", "autoScaling",
    "deploymentStrategy",
)  # fmt: skip
"""Fields of a component of an InferenceService that are no fields of a pod."""


def pods(documents: list[Document]) -> list[Pods]:
    """Everything that runs, whoever makes pods of it; a ServingRuntime apart."""
    return [found for document in documents for found in _pods(document)]


def _pods(document: Document) -> Iterator[Pods]:
    spec = document.get("spec", {})
    match document["kind"]:
        case "InferenceService":
            for component in spec.values():
                own = {key: component[key] for key in KSERVES_OWN if key in component}
                rest = {key: value for key, value in component.items() if key not in KSERVES_OWN}
                yield _named(component["labels"], rest, own)
        case "Deployment" | "StatefulSet" | "Job":
            yield _named(spec["template"]["metadata"]["labels"], spec["template"]["spec"], {})
        case "CronJob":
            yield from _pods({"kind": "Job", "spec": spec["jobTemplate"]["spec"]})
        case "Pod":
            yield _named(document["metadata"]["labels"], spec, {})


def _named(labels: dict[str, str], spec: dict[str, Any], own: dict[str, Any]) -> Pods:
    return Pods(labels["app.kubernetes.io/component"], labels, spec, own)


@functools.cache
def _render(helm: Helm, arguments: tuple[str, ...]) -> str:
    finished = helm.template(*arguments)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def value_sets() -> dict[str, tuple[str, ...]]:
    """Helm arguments of every set of values the chart is rendered with."""
    paths = [*sorted(CHART.glob("values-*.yaml")), *sorted(VALUES.glob("*.yaml"))]
    files = {path.stem.removeprefix("values-"): ("--values", str(path)) for path in paths}
    return {"default": ()} | files | {"rollout": FULL}


def set_json(**values: object) -> tuple[str, ...]:
    """Helm arguments for values that keep their JSON types; `__` stands for a dot."""
    pairs = ((name.replace("__", "."), json.dumps(value)) for name, value in values.items())
    return tuple(part for name, value in pairs for part in ("--set-json", f"{name}={value}"))
