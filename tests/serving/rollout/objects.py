"""The objects that the chart makes of a canary, in an emulated cluster, and hands to look at them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kubernetes
import yaml

from serving.rollout.cluster import json_patches
from tests.tools import require

NAMESPACE = "models"
ISVC = ("serving.kserve.io", "v1beta1", NAMESPACE, "inferenceservices")
ROUTE = ("gateway.networking.k8s.io", "v1", NAMESPACE, "httproutes")


def isvc(name: str, uri: str) -> dict[str, Any]:
    def component() -> dict[str, Any]:
        environment = [{"name": "DO_NOT_TRACK", "value": "1"}, {"name": "STORAGE_URI", "value": uri}]
        return {"containers": [{"name": "kserve-container", "image": "higr", "env": environment}]}

    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"transformer": component(), "predictor": component()},
    }


def route(weight: int = 0) -> dict[str, Any]:
    backends = [
        {"name": f"{service}-transformer", "port": 80, "weight": share}
        for service, share in (("higr", 100 - weight), ("higr-canary", weight))
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "higr"},
        "spec": {
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/explorer"}}],
                    "backendRefs": [{"name": "higr-transformer", "port": 80}],
                },
                {"backendRefs": backends},
            ]
        },
    }


class Cluster:
    """What a test does with kubectl, and what it sees."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

        def client() -> Any:
            return kubernetes.config.new_client_from_config(str(kubeconfig))

        self._custom = kubernetes.client.CustomObjectsApi(client())
        self._patching = kubernetes.client.CustomObjectsApi(json_patches(client()))
        self._core = kubernetes.client.CoreV1Api(client())

    def install(self, stable: str, candidate: str) -> None:
        for name, uri in (("higr", stable), ("higr-canary", candidate)):
            self._custom.create_namespaced_custom_object(*ISVC, isvc(name, uri))
        self._custom.create_namespaced_custom_object(*ROUTE, route())
        for name in ("higr-rollout", "higr-bundle"):
            self._core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": name}})
        self.record("bundle", stable=stable, canary=candidate)

    def clear(self) -> None:
        """All that `install` made and the rollout wrote."""
        for collection in (ISVC, ROUTE):
            self._custom.delete_collection_namespaced_custom_object(*collection)
        self._core.delete_collection_namespaced_config_map(NAMESPACE)
        self._core.delete_collection_namespaced_event(NAMESPACE)

    def remove(self, kind: str, name: str) -> None:
        if kind == "ConfigMap":
            self._core.delete_namespaced_config_map(name, NAMESPACE)
        else:
            where = ISVC if kind == "InferenceService" else ROUTE
            self._custom.delete_namespaced_custom_object(*where, name)

    def weight(self) -> tuple[int, int]:
        found = self._custom.get_namespaced_custom_object(*ROUTE, "higr")
        stable, canary = found["spec"]["rules"][1]["backendRefs"]
        return stable["weight"], canary["weight"]

    def set_route(self, document: dict[str, Any]) -> None:
        patch = [{"op": "replace", "path": "/spec", "value": document["spec"]}]
        self._patching.patch_namespaced_custom_object(*ROUTE, "higr", patch)

    def uris(self, name: str) -> set[str]:
        spec = self._custom.get_namespaced_custom_object(*ISVC, name)["spec"]
        return {spec[role]["containers"][0]["env"][1]["value"] for role in ("transformer", "predictor")}

    def set_uri(self, name: str, uri: str, roles: tuple[str, ...] = ("transformer", "predictor")) -> None:
        paths = [f"/spec/{role}/containers/0/env/1/value" for role in roles]
        patch = [{"op": "replace", "path": path, "value": uri} for path in paths]
        self._patching.patch_namespaced_custom_object(*ISVC, name, patch)

    def data(self, what: str = "rollout") -> dict[str, str]:
        return self._core.read_namespaced_config_map(f"higr-{what}", NAMESPACE).data or {}

    def record(self, what: str = "rollout", **data: str) -> None:
        body = {"data": {name.replace("_", "-"): value for name, value in data.items()}}
        self._core.patch_namespaced_config_map(f"higr-{what}", NAMESPACE, body)

    def events(self) -> list[tuple[str, str]]:
        found = self._core.list_namespaced_event(NAMESPACE).items
        return [(event.reason, event.message) for event in found]


@contextmanager
def emulated(folder: Path) -> Iterator[Cluster]:
    tools, crds = require("kube-tools").parent, require("crds")
    sys.path.insert(0, str(tools))
    try:
        from kube_emulator import Emulator
    finally:
        sys.path.remove(str(tools))
    with Emulator(crd_paths=[str(crds)], namespaces=[NAMESPACE]) as emulator:
        yield Cluster(emulator.write_kubeconfig(folder / "kubeconfig.yaml", namespace=NAMESPACE))


def write_config(path: Path, **fields: Any) -> Path:
    path.write_text(yaml.safe_dump({"name": "higr", "namespace": NAMESPACE, **fields}))
    return path
