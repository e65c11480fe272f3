"""Every PromQL of rules and dashboards parses, and every series and label in it exists."""

import json
import re
from typing import Any

import pytest

from higr.metrics import METRICS
from monitoring.alerting.settings import RuleSettings
from monitoring.grafana.files import boards, documents
from monitoring.grafana.panels import Query, queries
from tests.monitoring.alerting import promql
from tests.monitoring.alerting.test_rules import COMMITTED, rules_of
from tests.tools import REPOSITORY

RULES = [rule for name in ("recording.yaml", *COMMITTED) for rule in rules_of(COMMITTED[name])]
DASHBOARDS = REPOSITORY / "monitoring" / "dashboards"
PANELS = queries(boards(RuleSettings()))


def series() -> dict[str, set[str]]:
    """Scraped and recorded ones with their labels; a rule may read what is recorded before it."""
    known = dict(promql.KNOWN)
    for rule in RULES:
        if "record" in rule:
            known[rule["record"]] = (
                promql.check(rule["expr"], known) | set(rule.get("labels", {})) | promql.PLACES
            )
    return known


KNOWN = series()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_read_what_there_is(rule: dict[str, Any]) -> None:
    found = promql.check(rule["expr"], KNOWN) | set(rule.get("labels", {})) | {"alertname"}
    for note in rule.get("annotations", {}).values():
        for query in re.findall(r'query "((?:\\.|[^"\\])*)"', note):
            found |= promql.check(query.replace('\\"', '"'), KNOWN)
        for label in re.findall(r"Labels\.(\w+)|\$labels\.(\w+)", note):
            assert "".join(label) in found, note


@pytest.mark.parametrize(("panel", "query"), PANELS, ids=[panel for panel, _ in PANELS])
def test_panels_read_what_there_is(panel: str, query: Query) -> None:
    found = promql.check(query.expr, KNOWN)
    for label in re.findall(r"\{\{(\w+)\}\}", query.legend):
        assert label in found, f"{query.legend} of {query.expr}"


@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        ("sum(rate(higr_slates_total[5m])", "unclosed|expected|unexpected"),
        ("rate(higr_slate_total[5m])", "no series higr_slate_total"),
        ("higr_slates", "no series higr_slates"),
        ('higr_slates_total{origin="higr"}', "has no label origin"),
        ("sum by (source) (higr_degraded_requests_total)", "no label source below"),
        ("sum by (source) (sum by (reason) (higr_slates_total))", "no label source below"),
        ("higr_switch_position / on (state) higr_switch_position", "no label state"),
    ],
)
def test_the_check_finds_what_is_wrong(expr: str, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        promql.check(expr, KNOWN)


def test_labels_that_come_out() -> None:
    quantile = "histogram_quantile(0.9, sum by (le, step) (rate(higr_step_seconds_bucket[5m])))"
    assert promql.check(quantile, KNOWN) == {"step"}
    assert promql.check("topk(3, higr_drift_psi)", KNOWN) >= {"column"}
    assert promql.check("absent(higr_switch_position)", KNOWN) == set()


def test_every_metric_is_seen_somewhere() -> None:
    """What nobody looks at need not be measured."""
    read = set().union(
        *(promql.names(rule["expr"]) for rule in RULES), *(promql.names(q.expr) for _, q in PANELS)
    )
    unseen = [
        metric.name
        for metric in METRICS
        if not any(metric.name + suffix in read for suffix in promql.SUFFIXES[metric.kind])
    ]
    assert unseen == []


def test_regenerating_gives_the_dashboards_that_are_committed() -> None:
    committed = {path.name: path.read_text() for path in DASHBOARDS.glob("*.json")}
    assert documents(RuleSettings()) == committed


@pytest.mark.parametrize("name", sorted(documents(RuleSettings())))
def test_a_board_is_whole(name: str) -> None:
    board = json.loads((DASHBOARDS / name).read_text())
    assert f"{board['uid']}.json" == name
    rows = [panel for panel in board["panels"] if panel["type"] == "row"]
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len(rows) >= 3
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    for panel in panels:
        assert len(panel["description"]) > 20, "nothing says what is good or bad"
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == list("ABCDEFGH"[: len(letters)])
        assert letters
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource"]


@pytest.mark.parametrize("name", sorted(documents(RuleSettings())))
def test_panels_fill_their_rows_and_do_not_overlap(name: str) -> None:
    board = json.loads((DASHBOARDS / name).read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells


def test_a_namespace_is_in_every_query_of_a_panel() -> None:
    for panel, query in queries(boards(RuleSettings(namespace="models"))):
        assert query.expr.count('namespace="models"') >= len(
            re.findall(r"(?:higr[_:]\w|ALERTS)", query.expr)
        ), panel
