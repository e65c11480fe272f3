"""TrainJobs against an emulated API server; what a controller would report is written by the test."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from components import launch
from components.launch import Launcher, TrainJobError
from components.trainjob import GROUP, PLURAL, VERSION, TrainJobSettings, train_job
from higr.config import load_config
from higr.errors import InputError
from tests.tools import require

NAME = "higr-pretrain-0"
PLACE = (GROUP, VERSION, "models", PLURAL)


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Any]:
    tools, crds = require("kube-tools").parent, require("crds")
    sys.path.insert(0, str(tools))
    try:
        from kube_emulator import Emulator
    finally:
        sys.path.remove(str(tools))
    with Emulator(crd_paths=[str(crds)], namespaces=["models"], fakes_status=False) as emulator:
        path = emulator.write_kubeconfig(tmp_path / "kubeconfig.yaml", namespace="models")
        monkeypatch.setenv("KUBECONFIG", str(path))
        yield emulator


@pytest.fixture
def jobs(server) -> client.CustomObjectsApi:
    config.load_kube_config(config_file=os.environ["KUBECONFIG"])
    return client.CustomObjectsApi()


@pytest.fixture
def job() -> dict[str, Any]:
    settings = TrainJobSettings(claim="higr-training")
    return train_job(load_config("nano"), settings, name=NAME, image="higr/train:1", folder="/shared/0")


def there(jobs: client.CustomObjectsApi) -> dict[str, Any] | None:
    try:
        return jobs.get_namespaced_custom_object(*PLACE, NAME)
    except ApiException as error:
        if error.status != 404:
            raise
        return None


def report(jobs: client.CustomObjectsApi, kind: str, message: str) -> None:
    """As the controller of Kubeflow Trainer does."""
    condition = {
        "type": kind,
        "status": "True",
        "reason": "Told",
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    jobs.patch_namespaced_custom_object_status(*PLACE, NAME, {"status": {"conditions": [condition]}})


def once_there(jobs: client.CustomObjectsApi, act: Callable[[], None]) -> threading.Thread:
    """Do something as soon as the job is there."""

    def wait() -> None:
        end = time.monotonic() + 20
        while there(jobs) is None and time.monotonic() < end:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_a_job_is_created_as_it_is_waited_for_and_deleted(jobs, job):
    seen: list[dict[str, Any]] = []

    def complete() -> None:
        seen.append(there(jobs))
        report(jobs, "Complete", "all nodes ended")

    once_there(jobs, complete)
    Launcher().run(job, timeout=20, poll=0.05)
    assert seen[0]["spec"]["trainer"] == job["spec"]["trainer"]
    assert there(jobs) is None


def test_a_failure_has_its_reason_and_stays_for_its_logs(jobs, job):
    once_there(jobs, lambda: report(jobs, "Failed", "BackoffLimitExceeded:\n node-0-1 exited with 2"))
    with pytest.raises(TrainJobError, match="BackoffLimitExceeded: node-0-1 exited with 2; see `kubectl"):
        Launcher().run(job, timeout=20, poll=0.05)
    assert there(jobs) is not None


def test_another_try_takes_the_place_of_a_job_that_failed(jobs, job):
    once_there(jobs, lambda: report(jobs, "Failed", "node lost"))
    with pytest.raises(TrainJobError):
        Launcher().run(job, timeout=20, poll=0.05)
    first = there(jobs)["metadata"]["uid"]

    def complete() -> None:
        end = time.monotonic() + 20
        while ((now := there(jobs)) is None or now["metadata"]["uid"] == first) and time.monotonic() < end:
            time.sleep(0.02)
        report(jobs, "Complete", "")

    threading.Thread(target=complete, daemon=True).start()
    Launcher().run(job, timeout=20, poll=0.05)
    assert there(jobs) is None


def test_what_takes_too_long_is_deleted(jobs, job):
    with pytest.raises(TrainJobError, match=r"not complete after 0\.3 s \(trainjob\.timeout_seconds\)"):
        Launcher().run(job, timeout=0.3, poll=0.05)
    assert there(jobs) is None


def test_a_cancelled_task_takes_its_job_along(jobs, job):
    before = signal.getsignal(signal.SIGTERM)
    once_there(jobs, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        Launcher().run(job, timeout=20, poll=0.05)
    assert ended.value.code == 128 + signal.SIGTERM
    assert there(jobs) is None
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_job_that_somebody_deletes_is_not_waited_for(jobs, job):
    once_there(jobs, lambda: jobs.delete_namespaced_custom_object(*PLACE, NAME))
    with pytest.raises(TrainJobError, match="was deleted while it was waited for"):
        Launcher().run(job, timeout=20, poll=0.05)


def test_what_the_server_refuses_is_one_line(jobs, job):
    job["spec"]["trainer"]["numNodes"] = "two"
    with pytest.raises(TrainJobError, match=r"refused to create TrainJob .*numNodes") as error:
        Launcher().run(job, timeout=20, poll=0.05)
    assert "\n" not in str(error.value)


def test_a_cluster_without_the_trainer_is_told_so(tmp_path, monkeypatch, job):
    tools = require("kube-tools").parent
    sys.path.insert(0, str(tools))
    try:
        from kube_emulator import Emulator
    finally:
        sys.path.remove(str(tools))
    with Emulator(namespaces=["models"]) as emulator:
        path = emulator.write_kubeconfig(tmp_path / "kubeconfig.yaml", namespace="models")
        monkeypatch.setenv("KUBECONFIG", str(path))
        with pytest.raises(TrainJobError, match=r"does not know TrainJobs .*install Kubeflow Trainer"):
            Launcher().run(job, timeout=20, poll=0.05)


def test_a_server_that_is_away_is_given_time_and_then_given_up(server, jobs, job, monkeypatch):
    monkeypatch.setattr(launch, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(launch, "REQUEST_SECONDS", 0.2)
    launcher = Launcher()
    pool = launcher._jobs.api_client.rest_client.pool_manager
    pool.connection_pool_kw["retries"] = False  # else it tries three times before it says so

    def take_away() -> None:
        server.stop()
        pool.clear()  # a connection that is open would go on being answered

    once_there(jobs, take_away)
    started = time.monotonic()
    with pytest.raises(TrainJobError, match=r"API server has not answered for"):
        launcher.run(job, timeout=60, poll=0.05)
    assert time.monotonic() - started > 0.5


def test_without_a_cluster_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InputError, match="no cluster to start a TrainJob in"):
        Launcher()
