"""What KServe makes of an InferenceService in Standard mode, for `podman kube play --network host`.

What differs: folders stand for claims and for what the storage initializer fetches. All pods share the
host's network, so each role has a port of its own and declares none (podman would publish it); they share
podman's names of volumes, too, so these are made unlike. Probes are the kubelet's, and so left to the test:
podman would call curl in the container.
"""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.charts.rendering import KSERVES_OWN, Document

ROLES = ("predictor", "transformer")
MODELS = "/mnt/models"


def deployments(
    service: Document, bundle: Path, ports: Mapping[str, int], claims: Mapping[str, Path]
) -> Iterator[Document]:
    """One Deployment a role.

    Args:
        bundle: folder that is mounted where KServe puts what STORAGE_URI names.
        ports: of each role, on this host.
        claims: folder that stands for each PersistentVolumeClaim.
    """
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    for role in ROLES:
        pod = copy.deepcopy(service["spec"][role])
        for field in KSERVES_OWN:
            pod.pop(field, None)
        (container,) = pod["containers"]
        _give_bundle(pod, container, bundle)
        _give_ports(container, ports, role)
        for volume in pod["volumes"]:
            _make_local(volume, claims)
        for named in (*pod["volumes"], *container["volumeMounts"]):
            named["name"] = f"{name}-{role}-{named['name']}"
        labels = {"app": f"isvc.{name}-{role}", "component": role, "serving.kserve.io/inferenceservice": name}
        yield {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"{name}-{role}", "namespace": namespace, "labels": labels},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": labels["app"]}},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }


def _give_bundle(pod: Document, container: Document, bundle: Path) -> None:
    """KServe's webhook has the storage initializer fetch STORAGE_URI and mounts the result read-only."""
    container["env"] = [variable for variable in container["env"] if variable["name"] != "STORAGE_URI"]
    name = "kserve-provision-location"
    container["volumeMounts"].append({"name": name, "mountPath": MODELS, "readOnly": True})
    pod["volumes"].append({"name": name, "hostPath": {"path": str(bundle), "type": "Directory"}})


def _give_ports(container: Document, ports: Mapping[str, int], role: str) -> None:
    own = {"--http_port": str(ports[role]), "--predictor_host": f"127.0.0.1:{ports['predictor']}"}
    given = (argument.split("=", 1) for argument in container["args"])
    container["args"] = [f"{flag}={own.get(flag, value)}" for flag, value in given]
    for field in ("ports", "startupProbe", "readinessProbe", "livenessProbe"):
        del container[field]


def _make_local(volume: Document, claims: Mapping[str, Path]) -> None:
    claim = volume.pop("persistentVolumeClaim", None)
    if claim is not None:
        volume["hostPath"] = {"path": str(claims[claim["claimName"]]), "type": "Directory"}
