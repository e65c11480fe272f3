"""Rules as values, and the form in which Prometheus and the Prometheus operator read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from monitoring.alerting.settings import RuleSettings

Severity = Literal["page", "watch", "none"]
"""page: someone now; watch: someone in daylight; none: nobody, it is there to be seen."""
Team = Literal["serving", "ml"]


@dataclass(frozen=True)
class Record:
    """A recording rule."""

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Alert:
    """An alerting rule.

    Attributes:
        cause: what is wrong, in one word; a page silences the watches of its cause.
        summary: what is wrong, in plain words, without figures.
        description: with the value, as a template of Prometheus.
        runbook: page under docs/runbooks, without suffix.
        dashboard: uid of the first place to look at.
        wait: seconds that it must hold before it fires.
    """

    name: str
    expr: str
    severity: Severity
    team: Team
    cause: str
    summary: str
    description: str
    runbook: str
    dashboard: str
    wait: float = 0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    name: str
    rules: tuple[Record | Alert, ...]
    every: float = 30


def rendered(group: Group, settings: RuleSettings) -> dict[str, Any]:
    """The group as in a rule file, and in `spec.groups` of a PrometheusRule."""
    place = {"namespace": settings.namespace} if settings.namespace else {}
    return {
        "name": group.name,
        "interval": duration(group.every, settings.time_scale),
        "rules": [
            _record(rule, place) if isinstance(rule, Record) else _alert(rule, place, settings)
            for rule in group.rules
        ],
    }


def duration(seconds: float, scale: float = 1.0) -> str:
    """As PromQL writes it: 300 is 5m. Scaled down, at least a millisecond."""
    milliseconds = max(1, round(seconds / scale * 1000))
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % length == 0:
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms"


def _record(rule: Record, place: Mapping[str, str]) -> dict[str, Any]:
    labels = {**place, **rule.labels}
    return {"record": rule.name, "expr": rule.expr} | ({"labels": labels} if labels else {})


def _alert(rule: Alert, place: Mapping[str, str], settings: RuleSettings) -> dict[str, Any]:
    return {
        "alert": rule.name,
        "expr": rule.expr,
        **({"for": duration(rule.wait, settings.time_scale)} if rule.wait else {}),
        "labels": {
            "severity": rule.severity,
            "team": rule.team,
            "cause": rule.cause,
            **place,
            **rule.labels,
        },
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": f"{settings.runbooks.rstrip('/')}/{rule.runbook}.md",
            "dashboard_url": f"{settings.dashboards.rstrip('/')}/{rule.dashboard}",
        },
    }
