"""Jobs and what a real Pushgateway knows of them afterwards."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from higr import metrics as names
from higr.errors import InputError
from monitoring import jobs
from tests.monitoring.alerting.processes import Process, pushgateway

PRINTS = 'import sys; print(\'working\'); print(\'{"stage": "align", "loss": 0.5, "ok": true}\')'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with pushgateway(tmp_path_factory.mktemp("pushgateway")) as process:
        yield process


def known(gateway: Process, task: str) -> dict[str, float]:
    """What the gateway shows of a task: by metric, a figure by its name."""
    text = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
    return {
        sample.labels.get("figure", sample.name): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("higr_job_") and sample.labels["task"] == task
    }


def run(gateway: str, task: str, *command: str, period: str = "60") -> subprocess.CompletedProcess[str]:
    arguments = ["--task", task, "--period", period, "--gateway", gateway, "--", *command]
    return subprocess.run(
        [sys.executable, "-m", "monitoring", "job", *arguments], capture_output=True, text=True, check=False
    )


def test_a_success_is_told_with_its_figures_and_its_output_passes(gateway: Process) -> None:
    began = time.time()
    ended = run(gateway.address, "align", sys.executable, "-c", PRINTS)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[0] == "working"
    found = known(gateway, "align")
    assert began <= found.pop(names.JOB_SUCCESS.name) <= time.time()
    assert 0 < found.pop(names.JOB_SECONDS.name) < 60
    assert found == {names.JOB_PERIOD.name: 60, names.JOB_EXIT_CODE.name: 0, "loss": 0.5}


def test_a_failure_leaves_the_last_success_as_it_was(gateway: Process) -> None:
    run(gateway.address, "features", sys.executable, "-c", PRINTS)
    before = known(gateway, "features")
    ended = run(gateway.address, "features", sys.executable, "-c", "raise SystemExit(3)")
    assert ended.returncode == 3
    after = known(gateway, "features")
    assert after[names.JOB_EXIT_CODE.name] == 3
    assert after[names.JOB_SUCCESS.name] == before[names.JOB_SUCCESS.name]
    assert after["loss"] == 0.5


def test_a_command_that_cannot_be_started_is_told_and_named(gateway: Process, tmp_path: Path) -> None:
    ended = run(gateway.address, "typo", str(tmp_path / "nothing"))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "cannot start" in ended.stderr
    assert known(gateway, "typo")[names.JOB_EXIT_CODE.name] == jobs.NOT_STARTED


def test_a_gateway_that_is_away_fails_no_job() -> None:
    ended = run("127.0.0.1:1", "drift", sys.executable, "-c", PRINTS)
    assert ended.returncode == 0
    assert "127.0.0.1:1 was not told how drift ended" in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("task", "period", "problem"),
    [("Drift", 60.0, "--task"), ("", 60.0, "--task"), ("a" * 64, 60.0, "--task")]
    + [("drift", bad, "--period") for bad in (0.0, -1.0, float("nan"), float("inf"))],
)
def test_bad_names_and_periods_run_nothing(task: str, period: float, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        jobs.watched("127.0.0.1:1", task, period, ["false"])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b'{"a": 1, "b": 0.5}\n', {"a": 1.0, "b": 0.5}),
        (b'{"a": true, "b": "x", "c": [1], "d": NaN, "e": null}', {}),
        (b"[1]", {}),
        (b"\xff{", {}),
        (b"done", {}),
        (b"", {}),
    ],
)
def test_figures_of_a_line(line: bytes, found: dict[str, float]) -> None:
    assert jobs.figures(line) == found


def test_a_job_prints_at_most_so_many_figures() -> None:
    line = ("{" + ", ".join(f'"f{n}": {n}' for n in range(200)) + "}").encode()
    assert len(jobs.figures(line)) == jobs.MOST_FIGURES


def test_a_signal_ends_the_command_and_counts_as_its_number() -> None:
    assert jobs.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"]).exit_code == 128 + 15
