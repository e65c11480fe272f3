"""The way to the API server, and what its refusals mean."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import kubernetes
import urllib3
import yaml
from kubernetes.client.exceptions import ApiException

from higr.errors import HigrError, InputError

SECONDS = 10
"""Of a call to the API server."""

Answer = TypeVar("Answer")


class Busy(HigrError):
    """The cluster cannot do it now, or somebody changed the object meanwhile: nothing was done; try again."""


def load_credentials() -> None:
    """Of KUBECONFIG, else of the pod, else of ~/.kube/config.

    Raises:
        InputError: there are none.
    """
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


def asked(what: str, verb: str, namespace: str, call: Callable[[], Answer]) -> Answer:
    """The answer to a call, about an object, such as HTTPRoute higr.

    Raises:
        InputError: the object is missing, or may not be touched.
        Busy: somebody else was faster, or the server cannot do it now.
    """
    try:
        return call()
    except ApiException as error:
        if error.status == 404:
            raise InputError(
                f"{what} is not in namespace {namespace}; install the chart with canary.enabled, "
                "route.enabled and rollout.enabled"
            ) from None
        if error.status in (401, 403):
            raise InputError(
                f"may not {verb} {what} in namespace {namespace}; run as the service account that "
                "rollout.enabled makes"
            ) from None
        if error.status in (409, 422):
            raise Busy(
                f"{what} was changed by somebody else meanwhile, or does not take the change "
                f"({error.status}); nothing was changed by the rollout"
            ) from None
        raise Busy(f"cannot {verb} {what}: the API server answers {error.status}") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Busy(f"cannot {verb} {what}: the API server is out of reach ({type(error).__name__})") from None
