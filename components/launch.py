"""Starts a TrainJob, waits for its end, and leaves no job behind that nobody waits for."""

import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from components.trainjob import GROUP, PLURAL, VERSION
from higr.errors import HigrError, InputError

REQUEST_SECONDS = 30
SILENT_SECONDS = 300.0
"""An API server that does not answer for this long is given up; a restart of one takes less."""

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a Pod reads its own."""

log = logging.getLogger("higr.components")


class TrainJobError(HigrError):
    """A job that failed, took too long, or was taken away."""


class Launcher:
    """TrainJobs of one namespace.

    Attributes:
        namespace: that of this Pod, or of the kubeconfig's context.

    Raises:
        InputError: there is no cluster to talk to.
    """

    def __init__(self) -> None:
        self.namespace = _connect()
        self._jobs = client.CustomObjectsApi()

    def run(self, job: Mapping[str, Any], timeout: float, poll: float) -> None:
        """Create the job and wait until it is complete; then it is deleted.

        A job that failed stays, for its logs, until the next of its name. One that is not waited for any
        more, after the timeout or when this process is told to end, is deleted.

        Raises:
            TrainJobError: it failed, was deleted by somebody, or took longer than `timeout` seconds; or the
                API server refuses it or does not answer.
        """
        name = job["metadata"]["name"]
        keep = False
        with _ended_by_signal():
            try:
                # Inside, too: a signal may come when the job is created and the answer is still on its way.
                self._create(job)
                self._wait(name, time.monotonic() + timeout, timeout, poll)
            except _RefusedError:
                keep = True
                raise
            except _Failed as error:
                keep = True
                raise TrainJobError(
                    f"TrainJob {name} failed: {error}; see `kubectl logs -n {self.namespace} "
                    f"-l jobset.sigs.k8s.io/jobset-name={name}`"
                ) from None
            finally:
                if not keep:
                    self._delete(name)

    def _create(self, job: Mapping[str, Any]) -> None:
        name = job["metadata"]["name"]
        try:
            try:
                self._post(job)
            except ApiException as error:
                if error.status != 409:
                    raise
                # Of a task that was killed before; its checkpoints are in the folder, so nothing is lost.
                self._delete(name)
                self._gone(name)
                self._post(job)
        except ApiException as error:
            raise _RefusedError(self._refusal(f"create TrainJob {name}", error)) from None
        except HTTPError as error:
            raise TrainJobError(_unreachable(error)) from None
        log.info("pretrain: TrainJob %s created in %s", name, self.namespace)

    def _post(self, job: Mapping[str, Any]) -> None:
        self._jobs.create_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, dict(job), _request_timeout=REQUEST_SECONDS
        )

    def _get(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._jobs.get_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, name, _request_timeout=REQUEST_SECONDS
        )
        return found

    def _wait(self, name: str, end: float, timeout: float, poll: float) -> None:
        heard, told = time.monotonic(), ""
        while True:
            try:
                state, message = _state(self._get(name))
                heard = time.monotonic()
            except ApiException as error:
                if error.status == 404:
                    raise TrainJobError(f"TrainJob {name} was deleted while it was waited for") from None
                if error.status is not None and 400 <= error.status < 500 and error.status != 429:
                    raise TrainJobError(self._refusal(f"read TrainJob {name}", error)) from None
                state, message = "", f"API server: {error.status}"
            except HTTPError as error:
                state, message = "", f"API server: {type(error).__name__}"
            if state == "Complete":
                return
            if state == "Failed":
                raise _Failed(" ".join(message.split()) or "no reason is given")
            if message and message != told:
                told = message
                log.info("pretrain: TrainJob %s: %s", name, " ".join(message.split()))
            now = time.monotonic()
            if now - heard > SILENT_SECONDS:
                raise TrainJobError(f"the API server has not answered for {now - heard:.0f} s; {message}")
            if now > end:
                raise TrainJobError(
                    f"TrainJob {name} is not complete after {timeout:g} s (trainjob.timeout_seconds); it is "
                    "deleted, and the next run goes on from its last checkpoint"
                )
            time.sleep(min(poll, max(0.0, end - now) + 0.01))

    def _delete(self, name: str) -> None:
        """That it is gone already is no error; that it cannot be deleted is told."""
        try:
            self._jobs.delete_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, name, _request_timeout=REQUEST_SECONDS
            )
        except ApiException as error:
            if error.status != 404:
                log.error("%s", self._refusal(f"delete TrainJob {name}", error))
        except HTTPError as error:
            log.error("TrainJob %s is not deleted: %s", name, _unreachable(error))

    def _gone(self, name: str) -> None:
        end = time.monotonic() + SILENT_SECONDS
        while time.monotonic() < end:
            try:
                self._get(name)
            except ApiException as error:
                if error.status == 404:
                    return
                raise
            time.sleep(1)
        raise TrainJobError(f"an earlier TrainJob {name} does not go away; delete it")

    def _refusal(self, what: str, error: ApiException) -> str:
        if error.status == 404:
            return (
                f"the API server in namespace {self.namespace} does not know TrainJobs ({GROUP}/{VERSION}); "
                "install Kubeflow Trainer, or leave trainjob out"
            )
        if error.status == 403:
            return (
                f"this service account may not {what} in namespace {self.namespace}; "
                f"it needs create, get and delete of {PLURAL}.{GROUP}"
            )
        body = " ".join(str(error.body or "").split())[:500]
        return f"the API server refused to {what}: {error.status} {body}"


class _Failed(Exception):
    """The job did."""


class _RefusedError(TrainJobError):
    """There is no job."""


def _state(job: Mapping[str, Any]) -> tuple[str, str]:
    """`Complete`, `Failed` or nothing yet, and what the newest condition says."""
    conditions = job.get("status", {}).get("conditions", [])
    for kind in ("Failed", "Complete"):
        for condition in conditions:
            if condition["type"] == kind and condition["status"] == "True":
                return kind, condition.get("message", "")
    return "", conditions[-1].get("message", "") if conditions else ""


def _unreachable(error: HTTPError) -> str:
    return f"the API server does not answer ({type(error).__name__})"


def _connect() -> str:
    """Of a Pod its own cluster, else that of the kubeconfig; the namespace that is meant there."""
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config()
            return NAMESPACE.read_text().strip()
        # Read anew: the client keeps the value that the variable had when it was imported.
        file = os.environ.get("KUBECONFIG")
        config.load_kube_config(config_file=file)
        _, active = config.list_kube_config_contexts(config_file=file)
    except (config.ConfigException, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"no cluster to start a TrainJob in ({reason}); is KUBECONFIG set?") from None
    return str(active["context"].get("namespace", "default"))


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Kubernetes ends a Pod by SIGTERM, which would otherwise skip every `finally`."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
