"""The switch in a cluster: key `mode` of a ConfigMap, which serving has mounted as a file."""

from collections.abc import Callable
from typing import Any

from higr.errors import InputError

PREFIX = "configmap:"
KEY = "mode"
SECONDS = 10
"""Of a call to the API server."""


class SwitchMap:
    """One ConfigMap, by `configmap:NAMESPACE/NAME`. Without the key serving stands on auto.

    A move is refused where somebody else has moved the switch since it was read: a person wins.

    Raises:
        InputError: no such address, or there is no way to a cluster.
    """

    def __init__(self, address: str) -> None:
        self._namespace, _, self._name = address.removeprefix(PREFIX).partition("/")
        if not (self._namespace and self._name) or "/" in self._name:
            raise InputError(f"switch {address!r}: give it as {PREFIX}NAMESPACE/NAME")
        # Only who moves a switch in a cluster pays for its client.
        import kubernetes
        from kubernetes.config import ConfigException

        try:
            kubernetes.config.load_config()
        except (ConfigException, OSError, TypeError) as error:
            raise InputError(
                f"switch {self}: no way to the cluster ({error}); run in a pod with a service account, "
                "or set KUBECONFIG"
            ) from None
        self._core = kubernetes.client.CoreV1Api()
        self._version: str | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self._namespace}/{self._name}"

    def read(self) -> str:
        """The word that stands there.

        Raises:
            InputError: the ConfigMap cannot be read.
        """
        found = self._call("read", self._core.read_namespaced_config_map)
        self._version = found.metadata.resource_version
        return str((found.data or {}).get(KEY, "auto")).strip()

    def write(self, word: str) -> None:
        """Raises:
        InputError: it cannot be written, or is not what was read any more.
        """
        body = {"metadata": {"resourceVersion": self._version}, "data": {KEY: word}}
        self._call("move", self._core.patch_namespaced_config_map, body)

    def _call(self, verb: str, method: Callable[..., Any], *body: object) -> Any:
        import urllib3
        from kubernetes.client.exceptions import ApiException

        try:
            return method(self._name, self._namespace, *body, _request_timeout=SECONDS)
        except ApiException as error:
            why = {
                403: "this account may not; run as the one that drift.movesSwitch of the chart makes",
                404: "it is not there; give the one that serving mounts",
                409: "somebody moved it meanwhile; it is left alone",
            }.get(error.status, f"the API server answers {error.status}")
            raise InputError(f"cannot {verb} switch {self}: {why}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise InputError(
                f"cannot {verb} switch {self}: the API server is out of reach ({type(error).__name__})"
            ) from None
