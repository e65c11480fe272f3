# ruff: noqa: E501  # a table, one case a row
"""Who hears of what: routes asked of amtool, inhibition of a running Alertmanager, both as the example has them."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from monitoring.alerting.files import FILES
from tests.monitoring.alerting.processes import Process, alertmanager, eventually
from tests.monitoring.alerting.test_rules import ALERTS
from tests.tools import REPOSITORY, require

EXAMPLES = REPOSITORY / "monitoring" / "examples"
CONFIG = EXAMPLES / "alertmanager.yaml"

Labels = dict[str, str]


def labels_of(alert: str, severity: str | None = None, **more: str) -> Labels:
    """Labels of a rule, as Prometheus sends them."""
    (labels,) = (
        rule["labels"]
        for rule in ALERTS
        if rule["alert"] == alert and severity in (None, rule["labels"]["severity"])
    )
    return {"alertname": alert, **labels, **more}


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([require("amtool"), *arguments], capture_output=True, text=True, check=False)


def test_alertmanager_takes_the_example() -> None:
    finished = amtool("check-config", str(CONFIG))
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_prometheus_takes_its_example() -> None:
    finished = subprocess.run(
        [require("promtool"), "check", "config", str(EXAMPLES / "prometheus.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert f"{len(FILES)} rule files found" in finished.stdout


def test_no_secret_is_in_the_example() -> None:
    for key, value in re.findall(r"^\s*-?\s*(\w+): *(\S.*)?$", CONFIG.read_text(), re.MULTILINE):
        if re.search("password|token|credentials|secret|key", key):
            assert key.endswith("_file"), key
            assert value.startswith("secrets/"), value


RECEIVERS = {
    ("page", "serving"): "serving-pager",
    ("page", "ml"): "ml-pager",
    ("watch", "serving"): "serving-mail",
    ("watch", "ml"): "ml-mail",
    ("none", "serving"): "dead-man",
}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']} {rule['labels']['severity']}")
def test_every_alert_reaches_whom_it_concerns(rule: dict[str, Any]) -> None:
    labels = labels_of(rule["alert"], rule["labels"]["severity"])
    pairs = [f"{name}={value}" for name, value in labels.items()]
    finished = amtool("config", "routes", "test", f"--config.file={CONFIG}", *pairs)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == [RECEIVERS[labels["severity"], labels["team"]]]


def test_an_alert_of_nobody_knows_whom_still_reaches_somebody() -> None:
    finished = amtool("config", "routes", "test", f"--config.file={CONFIG}", "alertname=Other")
    assert finished.stdout.split() == ["ml-mail"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The example's own tree and inhibitions; its receivers lead nowhere."""
    folder = tmp_path_factory.mktemp("alertmanager")
    config = yaml.safe_load(CONFIG.read_text())
    del config["global"]
    config["receivers"] = [{"name": receiver["name"]} for receiver in config["receivers"]]
    (folder / "alertmanager.yaml").write_text(yaml.safe_dump(config))
    with alertmanager(folder, folder / "alertmanager.yaml") as process:
        yield process


SILENCED: tuple[tuple[str, Labels, Labels, bool], ...] = (
    ("a page and a watch of its cause", labels_of("HigrMostlyFallback"), labels_of("HigrFallbackShare", reason="deadline"), True),
    ("a page and a watch of another cause", labels_of("HigrMostlyFallback"), labels_of("HigrSlow"), False),
    ("a page and another page of its cause", labels_of("HigrMostlyFallback"), labels_of("HigrFallbackBudget", "page"), False),
    ("a watch silences no page", labels_of("HigrFallbackShare"), labels_of("HigrMostlyFallback"), False),
    ("on the baseline, the pages of fallbacks", labels_of("HigrSwitchOnBaseline"), labels_of("HigrMostlyFallback"), True),
    ("on the baseline, the budget of fallbacks", labels_of("HigrSwitchOnBaseline"), labels_of("HigrFallbackBudget", "page"), True),
    ("on the baseline, the baseline failing", labels_of("HigrSwitchOnBaseline"), labels_of("HigrBaselineFailing"), False),
    ("on the baseline, drift", labels_of("HigrSwitchOnBaseline"), labels_of("HigrDriftPage"), False),
    ("nobody answers, nobody asks", labels_of("HigrServingDown"), labels_of("HigrNoRequests"), True),
    ("nobody answers, jobs", labels_of("HigrServingDown"), labels_of("HigrJobFailed", task="train"), False),
    ("an old verdict", labels_of("HigrDriftStale"), labels_of("HigrDriftWatch"), True),
    ("an old verdict, a page of it", labels_of("HigrDriftStale"), labels_of("HigrDriftPage"), False),
    ("a job that failed is old", labels_of("HigrJobFailed", task="train"), labels_of("HigrJobStale", task="train"), True),
    ("another job that is old", labels_of("HigrJobFailed", task="train"), labels_of("HigrJobStale", task="features"), False),
    ("another installation", labels_of("HigrMostlyFallback", namespace="a"), labels_of("HigrFallbackShare", namespace="b"), False),
)  # fmt: skip


@pytest.mark.parametrize(("name", "source", "target", "silent"), SILENCED, ids=[row[0] for row in SILENCED])
def test_inhibition(running: Process, name: str, source: Labels, target: Labels, silent: bool) -> None:
    # Each case alone: what others have left is of another installation.
    place = re.sub(r"\W+", "-", name)
    pair = [{**labels, "namespace": f"{place}-{labels.get('namespace', '')}"} for labels in (source, target)]
    answer = httpx.post(
        f"{running.url}/api/v2/alerts", json=[{"labels": labels} for labels in pair], trust_env=False
    )
    assert answer.status_code == 200, answer.text

    def silenced() -> bool | None:
        alerts = httpx.get(f"{running.url}/api/v2/alerts", trust_env=False).json()
        (status,) = [alert["status"] for alert in alerts if alert["labels"] == pair[1]] or [None]
        return None if status is None else bool(status["inhibitedBy"])

    if not silent:
        time.sleep(0.5)  # an inhibition would be there by now
    eventually(name, lambda: silenced() is silent, 10)


def test_the_example_is_written_for_every_cause_there_is() -> None:
    causes = {rule["labels"]["cause"] for rule in ALERTS}
    named = {
        cause
        for rule in yaml.safe_load(CONFIG.read_text())["inhibit_rules"]
        for matcher in rule["target_matchers"]
        if matcher.startswith("cause")
        for cause in re.search('"(.*)"', matcher)[1].split("|")  # type: ignore[index]
    }
    assert named <= causes
    names = {rule["alert"] for rule in ALERTS}
    assert set(re.findall(r"Higr\w+", CONFIG.read_text())) <= names


def test_paths_of_the_examples_exist() -> None:
    rules = yaml.safe_load((EXAMPLES / "prometheus.yaml").read_text())["rule_files"]
    assert [len(list(Path(EXAMPLES).glob(pattern))) for pattern in rules] == [len(FILES)]
