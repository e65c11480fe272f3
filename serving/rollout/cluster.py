"""The objects of a rollout in the cluster. Every change is one patch, and is refused if somebody was
faster."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import kubernetes
import urllib3
import yaml
from kubernetes.client.exceptions import ApiException

from higr.errors import HigrError, InputError
from serving.rollout.config import RolloutConfig
from serving.rollout.evidence import Side

ISVC = ("serving.kserve.io", "v1beta1", "inferenceservices")
ROUTE = ("gateway.networking.k8s.io", "v1", "httproutes")
ROLES = ("transformer", "predictor")
BUNDLE = "STORAGE_URI"
SECONDS = 10
"""Of a call to the API server."""

Answer = TypeVar("Answer")

log = logging.getLogger("higr.rollout")


class Busy(HigrError):
    """The cluster cannot do it now, or somebody changed the object meanwhile: nothing was done; try again."""


@dataclass(frozen=True)
class Record:
    """The ConfigMap NAME-rollout as it was read.

    Attributes:
        version: a write of anything but this one is refused.
    """

    data: Mapping[str, str]
    version: str


class Cluster:
    """One namespace, by the names the chart gives.

    Raises:
        InputError: no kubeconfig, and this is no pod.
    """

    def __init__(self, config: RolloutConfig) -> None:
        self._config = config
        self._space = config.namespace
        _load_credentials()
        self._custom = kubernetes.client.CustomObjectsApi(json_patches(kubernetes.client.ApiClient()))
        self._core = kubernetes.client.CoreV1Api()

    def weight(self) -> int:
        """Per cent that the route gives to the canary.

        Raises:
            InputError: there is no such route, or it has not the two sides.
        """
        return self._weights(self._route())

    def set_weight(self, canary: int, before: int) -> None:
        """Both sides in one patch.

        Raises:
            Busy: the route has not `before` any more.
        """
        route = self._route()
        patch: list[dict[str, Any]] = []
        for rule, (stable, other) in self._rules(route).items():
            for place, now, then in ((stable, 100 - before, 100 - canary), (other, before, canary)):
                backends = f"/spec/rules/{rule}/backendRefs/{place}"
                patch += [
                    {"op": "test", "path": f"{backends}/name", "value": self._backend(route, rule, place)},
                    {"op": "test", "path": f"{backends}/weight", "value": now},
                    {"op": "replace", "path": f"{backends}/weight", "value": then},
                ]
        self._call(
            f"HTTPRoute {self._config.name}",
            "patch",
            lambda: self._custom.patch_namespaced_custom_object(
                *ROUTE[:2], self._space, ROUTE[2], self._config.name, patch, _request_timeout=SECONDS
            ),
        )

    def bundle(self, service: str) -> str:
        """URI of an InferenceService's bundle, the same for its transformer and its predictor.

        Raises:
            InputError: no such service, or its parts have two.
        """
        found = self._isvc(service)
        uris = {_at(found, *place) for place in _places(found)}
        if len(uris) != 1:
            listed = ", ".join(sorted(uris)) or "none"
            raise InputError(
                f"InferenceService {service}: its parts have the bundles {listed}; transformer and predictor "
                f"need one and the same {BUNDLE}"
            )
        return uris.pop()

    def set_bundle(self, service: str, uri: str) -> None:
        """Transformer and predictor in one patch.

        Raises:
            Busy: somebody changed the service meanwhile.
        """
        found = self._isvc(service)
        patch = []
        for role, at, env in _places(found):
            path = f"/spec/{role}/containers/{at}/env/{env}"
            now = _at(found, role, at, env)
            patch += [
                {"op": "test", "path": f"{path}/name", "value": BUNDLE},
                {"op": "test", "path": f"{path}/value", "value": now},
                {"op": "replace", "path": f"{path}/value", "value": uri},
            ]
        self._call(
            f"InferenceService {service}",
            "patch",
            lambda: self._custom.patch_namespaced_custom_object(
                *ISVC[:2], self._space, ISVC[2], service, patch, _request_timeout=SECONDS
            ),
        )

    def remember_bundle(self, side: Side, uri: str) -> None:
        """A side's bundle in the ConfigMap NAME-bundle, for `helm upgrade` to keep."""
        name = f"{self._config.name}-bundle"
        self._call(
            f"ConfigMap {name}",
            "patch",
            lambda: self._core.patch_namespaced_config_map(
                name, self._space, {"data": {side: uri}}, _request_timeout=SECONDS
            ),
        )

    def ready(self, service: str) -> bool:
        """Whether KServe says so, of the service as it is specified now."""
        found = self._isvc(service)
        status = found.get("status", {})
        seen = status.get("observedGeneration", found["metadata"].get("generation"))
        ready = [c["status"] for c in status.get("conditions", []) if c["type"] == "Ready"]
        return seen == found["metadata"].get("generation") and ready == ["True"]

    def record(self) -> Record:
        """Raises: InputError: the ConfigMap is missing."""
        name = f"{self._config.name}-rollout"
        found = self._call(
            f"ConfigMap {name}",
            "get",
            lambda: self._core.read_namespaced_config_map(name, self._space, _request_timeout=SECONDS),
        )
        return Record(found.data or {}, found.metadata.resource_version)

    def write(self, record: Record, data: Mapping[str, str]) -> Record:
        """Keys of the ConfigMap, all of them or none.

        Raises:
            Busy: it is not the one that was read any more.
        """
        name = f"{self._config.name}-rollout"
        body = {"metadata": {"resourceVersion": record.version}, "data": dict(data)}
        found = self._call(
            f"ConfigMap {name}",
            "patch",
            lambda: self._core.patch_namespaced_config_map(name, self._space, body, _request_timeout=SECONDS),
        )
        return Record(found.data or {}, found.metadata.resource_version)

    def event(self, reason: str, message: str, warning: bool) -> None:
        """On the ConfigMap. An event that cannot be written is said in the log, and changes nothing."""
        now = datetime.now(UTC)
        involved = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": f"{self._config.name}-rollout",
            "namespace": self._space,
        }
        body = {
            "metadata": {"generateName": f"{self._config.name}-rollout-"},
            "involvedObject": involved,
            "reason": reason,
            "message": message[:1000],
            "type": "Warning" if warning else "Normal",
            "source": {"component": "higr-rollout"},
            "firstTimestamp": now.isoformat(),
            "lastTimestamp": now.isoformat(),
            "count": 1,
        }
        try:
            self._call(
                "Event",
                "create",
                lambda: self._core.create_namespaced_event(self._space, body, _request_timeout=SECONDS),
            )
        except HigrError as error:
            log.warning("event=event_not_written reason=%s error=%r", reason, str(error))

    def _isvc(self, name: str) -> dict[str, Any]:
        return self._call(
            f"InferenceService {name}",
            "get",
            lambda: self._custom.get_namespaced_custom_object(
                *ISVC[:2], self._space, ISVC[2], name, _request_timeout=SECONDS
            ),
        )

    def _route(self) -> dict[str, Any]:
        return self._call(
            f"HTTPRoute {self._config.name}",
            "get",
            lambda: self._custom.get_namespaced_custom_object(
                *ROUTE[:2], self._space, ROUTE[2], self._config.name, _request_timeout=SECONDS
            ),
        )

    def _weights(self, route: dict[str, Any]) -> int:
        found = set()
        for rule, (stable, canary) in self._rules(route).items():
            backends = route["spec"]["rules"][rule]["backendRefs"]
            found.add((backends[stable].get("weight", 1), backends[canary].get("weight", 1)))
        if len(found) != 1 or sum(next(iter(found))) != 100:
            raise InputError(
                f"HTTPRoute {self._config.name}: its weights are {sorted(found)}; give every rule the same "
                "two, which add up to 100"
            )
        return next(iter(found))[1]

    def _rules(self, route: dict[str, Any]) -> dict[int, tuple[int, int]]:
        """Rules that split between the sides, to the places of stable and canary."""
        wanted = [f"{name}-transformer" for name in (self._config.name, self._config.canary)]
        rules = {}
        for place, rule in enumerate(route["spec"].get("rules", [])):
            names = [backend["name"] for backend in rule.get("backendRefs", [])]
            if all(name in names for name in wanted):
                rules[place] = (names.index(wanted[0]), names.index(wanted[1]))
        if not rules:
            raise InputError(
                f"HTTPRoute {self._config.name} has no rule with the backends {' and '.join(wanted)}; "
                "install the chart with canary.enabled and route.enabled"
            )
        return rules

    @staticmethod
    def _backend(route: dict[str, Any], rule: int, place: int) -> str:
        return str(route["spec"]["rules"][rule]["backendRefs"][place]["name"])

    def _call(self, what: str, verb: str, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except ApiException as error:
            if error.status == 404:
                raise InputError(
                    f"{what} is not in namespace {self._space}; install the chart with canary.enabled, "
                    "route.enabled and rollout.enabled"
                ) from None
            if error.status in (401, 403):
                raise InputError(
                    f"may not {verb} {what} in namespace {self._space}; run as the service account that "
                    "rollout.enabled makes"
                ) from None
            if error.status in (409, 422):
                raise Busy(
                    f"{what} was changed by somebody else meanwhile, or does not take the change "
                    f"({error.status}); nothing was changed by the rollout"
                ) from None
            raise Busy(f"cannot {verb} {what}: the API server answers {error.status}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Busy(
                f"cannot {verb} {what}: the API server is out of reach ({type(error).__name__})"
            ) from None


def _load_credentials() -> None:
    """Of KUBECONFIG, else of the pod, else of ~/.kube/config."""
    named = os.environ.get("KUBECONFIG")
    try:
        if not named and "KUBERNETES_SERVICE_HOST" in os.environ:
            kubernetes.config.load_incluster_config()
        else:
            kubernetes.config.load_kube_config(named or None)
    except (kubernetes.config.ConfigException, OSError, TypeError, yaml.YAMLError) as error:
        raise InputError(
            f"no way to the cluster ({error}); run in a pod with a service account, or set KUBECONFIG"
        ) from None


def json_patches(client: Any) -> Any:
    """The client with what it would not say of itself: that a patch is a JSON patch, which can test first."""
    client.set_default_header("Content-Type", "application/json-patch+json")
    return client


def _places(service: dict[str, Any]) -> list[tuple[str, int, int]]:
    """(role, container, variable) of every bundle URI."""
    return [
        (role, at, env)
        for role in ROLES
        for at, container in enumerate(service["spec"].get(role, {}).get("containers", []))
        for env, variable in enumerate(container.get("env", []))
        if variable.get("name") == BUNDLE
    ]


def _at(service: dict[str, Any], role: str, at: int, env: int) -> str:
    return str(service["spec"][role]["containers"][at]["env"][env].get("value", ""))
