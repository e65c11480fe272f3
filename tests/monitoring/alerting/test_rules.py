"""Every alert fires when it must and is quiet when it must be, as promtool evaluates the rules."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from higr.errors import InputError
from higr.metrics import REQUEST_SECONDS, SLATES
from monitoring.alerting.files import documents, groups
from monitoring.alerting.promql import Promql
from monitoring.alerting.rule import Alert, duration
from monitoring.alerting.settings import RuleSettings, read_settings
from tests.monitoring.alerting.cases import CASES, NEVER_QUIET, Case
from tests.tools import REPOSITORY, require

RULES = REPOSITORY / "monitoring" / "rules"
COMMITTED = {path.name: path.read_text() for path in sorted(RULES.glob("*.yaml"))}


def rules_of(text: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


ALERTS = [rule for text in COMMITTED.values() for rule in rules_of(text) if "alert" in rule]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([require("promtool"), *arguments], capture_output=True, text=True, check=False)


def test_regenerating_gives_what_is_committed() -> None:
    assert documents(RuleSettings()) == COMMITTED


def test_prometheus_takes_the_rules() -> None:
    finished = promtool("check", "rules", "--lint-fatal", *(str(RULES / name) for name in COMMITTED))
    assert finished.returncode == 0, finished.stdout + finished.stderr


def expected(case: Case) -> list[dict[str, Any]]:
    """The alerts of the case with all labels and annotations."""
    found = []
    for firing in case.fires:
        (rule,) = (
            rule
            for rule in ALERTS
            if (rule["alert"], rule["labels"]["severity"]) == (case.alert, firing.severity)
        )
        found.append(
            {
                "exp_labels": {**rule["labels"], **firing.labels},
                "exp_annotations": {**rule["annotations"], "description": firing.description},
            }
        )
    return found


def files_of(alert: str) -> list[str]:
    """What an alert reads, which must be evaluated before it, and its own file."""
    (name,) = (name for name, text in COMMITTED.items() if f"alert: {alert}\n" in text)
    return ["recording.yaml", name]


def groups_of(files: list[str]) -> list[str]:
    """In the order of the files."""
    return [group["name"] for name in files for group in yaml.safe_load(COMMITTED[name])["groups"]]


def evaluate(case: Case, at: str, alerts: list[dict[str, Any]], folder: Path) -> None:
    """What promtool says of the case at a time."""
    test = {
        "rule_files": [str(RULES / name) for name in files_of(case.alert)],
        "evaluation_interval": case.step,
        # Without an order promtool takes one by chance, and an alert may look before its record is written.
        "group_eval_order": groups_of(files_of(case.alert)),
        "tests": [
            {
                "interval": case.step,
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "alert_rule_test": [{"eval_time": at, "alertname": case.alert, "exp_alerts": alerts}],
            }
        ],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    finished = promtool("test", "rules", str(folder / "test.yaml"))
    assert finished.returncode == 0, finished.stdout + finished.stderr


def name_of(case: Case) -> str:
    return f"{case.alert}: {case.name}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_fires_or_is_quiet(case: Case, tmp_path: Path) -> None:
    evaluate(case, case.at, expected(case), tmp_path)


def wait_of(alert: str) -> int:
    """Minutes until an alert may fire, the soonest of its severities."""
    waits = [rule.get("for", "0m") for rule in ALERTS if rule["alert"] == alert]
    return min(int(wait[:-1]) * {"m": 1, "h": 60}[wait[-1]] for wait in waits)


WAITING = [case for case in CASES if case.fires and case.step == "1m" and wait_of(case.alert) > 0]


@pytest.mark.parametrize("case", WAITING, ids=name_of)
def test_nothing_fires_before_it_has_lasted(case: Case, tmp_path: Path) -> None:
    evaluate(case, f"{wait_of(case.alert) - 1}m", [], tmp_path)


def test_every_alert_is_seen_firing_and_quiet() -> None:
    fires = {(case.alert, firing.severity) for case in CASES for firing in case.fires}
    quiet = {
        (rule["alert"], rule["labels"]["severity"])
        for case in CASES
        for rule in ALERTS
        if rule["alert"] == case.alert
        and rule["labels"]["severity"] not in {firing.severity for firing in case.fires}
    }
    every = {(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS}
    assert every - fires == set()
    assert {name for name, _ in every - quiet} == NEVER_QUIET
    assert {case.alert for case in CASES} == {name for name, _ in every}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']} {rule['labels']['severity']}")
def test_every_alert_says_who_why_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "watch", "none"}
    assert rule["labels"]["team"] in {"serving", "ml"}
    assert rule["labels"]["cause"]
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "{{" not in notes["summary"]  # the same words every time, so that mails thread
    assert all(text.endswith(".") for text in (notes["summary"], notes["description"]))
    assert not re.search(r"higr_|rate\(|PSI|p99|SLO", notes["summary"]), "plain words"
    runbook = notes["runbook_url"].removeprefix(RuleSettings().runbooks)
    assert (REPOSITORY / "docs" / f"runbooks{runbook}").is_file()
    board = notes["dashboard_url"].removeprefix(RuleSettings().dashboards)
    assert (REPOSITORY / "monitoring" / f"dashboards{board}.json").is_file()


def test_alert_names_are_one_each_but_for_severity_and_task() -> None:
    kinds = [(rule["alert"], rule["labels"]["severity"], rule["labels"].get("task")) for rule in ALERTS]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize(
    ("seconds", "scale", "text"),
    [
        (300, 1, "5m"),
        (90, 1, "90s"),
        (3600, 1, "1h"),
        (259_200, 1, "3d"),
        (0.25, 1, "250ms"),
        (300, 60, "5s"),
        (60, 120, "500ms"),
        (0.01, 1000, "1ms"),
    ],
)
def test_durations(seconds: float, scale: float, text: str) -> None:
    assert duration(seconds, scale) == text


def test_a_namespace_is_in_every_selector_and_on_every_result(tmp_path: Path) -> None:
    texts = documents(RuleSettings(namespace="models"))
    for name, text in texts.items():
        for rule in rules_of(text):
            assert rule["labels"]["namespace"] == "models"
            selectors = re.findall(r"higr[_:]\w[\w:]*(?:\{[^}]*\})?", rule["expr"])
            assert all('namespace="models"' in selector for selector in selectors), selectors
        (tmp_path / name).write_text(text)
    finished = promtool("check", "rules", *(str(tmp_path / name) for name in texts))
    assert finished.returncode == 0, finished.stderr


def test_settings_reach_the_rules() -> None:
    settings = RuleSettings(
        runbooks="https://wiki/x/",
        deadline_seconds=0.5,
        min_requests=7,
        required_tasks=("train",),
        time_scale=60,
    )
    rules = [rule for text in documents(settings).values() for rule in rules_of(text)]
    text = yaml.safe_dump(rules)
    assert 'le="0.5"' in text
    assert 'le="0.3"' not in text
    assert ">= 7" in text
    assert "https://wiki/x/drift.md" in text
    assert 'absent(higr_job_last_success_timestamp_seconds{task="train"})' in text
    assert "[5s]" in text
    assert "[5m]" not in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("deadline_seconds: 0.31", "deadline_seconds: .*not a bucket"),
        ("objectives: {by_higr: 1}", r"objectives\.by_higr: "),
        ("objetives: {}", "objetives: "),
        ("[", "not YAML"),
        ("- 1", "the file: "),
        ("namespace: 'a\"b'", "namespace: "),
        ("required_tasks: ['a\"b']", r"required_tasks\.0: "),
    ],
)
def test_settings_that_are_wrong_are_named(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=problem) as caught:
        read_settings(path)
    assert "\n" not in str(caught.value)


def test_a_settings_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: No such file"):
        read_settings(tmp_path / "none.yaml")
    assert read_settings(None) == RuleSettings()


def test_a_label_that_a_metric_lacks_cannot_be_written() -> None:
    q = Promql(RuleSettings())
    with pytest.raises(ValueError, match="higr_slates has no label user"):
        q.of(SLATES, 'user="u"')
    assert q.of(REQUEST_SECONDS, 'le="0.3"', part="bucket") == 'higr_request_seconds_bucket{le="0.3"}'


@pytest.mark.parametrize(
    ("alert", "severity", "limits"),
    # 14.4 and 6 times the budget page, 3 times and once are watched; each in a long and a short window.
    [
        ("HigrFallbackBudget", "page", [0.72, 0.72, 0.3, 0.3]),
        ("HigrFallbackBudget", "watch", [0.15, 0.15, 0.05, 0.05]),
        ("HigrLatencyBudget", "page", [0.144, 0.144, 0.06, 0.06]),
        ("HigrLatencyBudget", "watch", [0.03, 0.03, 0.01, 0.01]),
        ("HigrErrorBudget", "page", [0.0144, 0.0144, 0.006, 0.006]),
        ("HigrErrorBudget", "watch", [0.003, 0.003, 0.001, 0.001]),
    ],
)
def test_budgets_burn_as_fast_as_they_may(alert: str, severity: str, limits: list[float]) -> None:
    (expr,) = (
        rule["expr"] for rule in ALERTS if (rule["alert"], rule["labels"]["severity"]) == (alert, severity)
    )
    assert [float(limit) for limit in re.findall(r" > ([\d.]+)", expr)] == limits
    windows = {"page": ["1h", "5m", "6h", "30m"], "watch": ["1d", "2h", "3d", "6h"]}[severity]
    assert re.findall(r"ratio_rate(\w+)", expr) == windows


def test_a_page_is_worth_waking_somebody() -> None:
    """What may page: users have no slate or a wrong one, events are lost, a lever does not work."""
    pages = {
        rule.name
        for group in groups(RuleSettings())
        for rule in group.rules
        if isinstance(rule, Alert) and rule.severity == "page"
    }
    assert pages == {
        "HigrServingDown", "HigrNoRequests", "HigrServerErrors", "HigrEmptySlates", "HigrMostlyFallback",
        "HigrBaselineFailing", "HigrSwitchUnreadable", "HigrPolicyUnreadable", "HigrTokensUnreadable",
        "HigrFeedbackRefused",
        "HigrFallbackBudget", "HigrLatencyBudget", "HigrErrorBudget", "HigrDriftPage", "HigrDriftTrip",
            "HigrDriftCannotTrip",
    }  # fmt: skip
