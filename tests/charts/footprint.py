"""What a values file asks a cluster for: pods, CPU, memory and GPUs, at least and at most."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from tests.charts.rendering import Document

GPU = "nvidia.com/gpu"
MANY = {"Deployment": "spec", "StatefulSet": "spec"}


@dataclass(frozen=True)
class Footprint:
    """Requests of all pods that run all the time; memory in GiB."""

    pods: int = 0
    cpu: float = 0.0
    memory: float = 0.0
    gpus: int = 0

    def __add__(self, other: "Footprint") -> "Footprint":
        return Footprint(
            self.pods + other.pods, self.cpu + other.cpu, self.memory + other.memory, self.gpus + other.gpus
        )

    def row(self) -> str:
        return f"{self.pods} | {self.cpu:g} | {self.memory:.3g} | {self.gpus}"


def footprints(documents: list[Document]) -> tuple[Footprint, Footprint]:
    """Of the fewest replicas and of the most. Jobs, which come and go, are not among them."""
    least, most = Footprint(), Footprint()
    for low, high, pod in _running(documents):
        one = _pod(pod)
        least += _times(one, low)
        most += _times(one, high)
    return least, most


def _running(documents: list[Document]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for document in documents:
        if document["kind"] == "InferenceService":
            for role in ("transformer", "predictor"):
                if part := document["spec"].get(role):
                    yield part["minReplicas"], part["maxReplicas"], part
        elif document["kind"] in MANY:
            replicas = document["spec"].get("replicas", 1)
            yield replicas, replicas, document["spec"]["template"]["spec"]


def _pod(spec: dict[str, Any]) -> Footprint:
    total = Footprint(pods=1)
    for container in spec["containers"]:
        asked = container["resources"]["requests"]
        total += Footprint(
            0,
            float(parse_quantity(asked["cpu"])),
            float(parse_quantity(asked["memory"])) / 2**30,
            int(asked.get(GPU, 0)),
        )
    return total


def _times(one: Footprint, count: int) -> Footprint:
    return Footprint(one.pods * count, one.cpu * count, one.memory * count, one.gpus * count)
