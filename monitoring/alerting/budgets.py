"""Service-level objectives, and alerts on how fast their error budgets burn.

Several windows and rates, as chapter 5 of Google's Site Reliability Workbook has them: a page when 2 % of the
month's budget went in an hour or 5 % in six, a watch when 10 % went in a day or in three. The short window
beside each long one ends the alert soon after the trouble.
"""

from dataclasses import dataclass

from prometheus_client.utils import floatToGoString

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.rule import Alert, Group, Record
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import DAY, HOUR, MINUTE

NOT_BY_HIGR = 'source!="higr"'
OF_SLATES = 'endpoint="slates"'
STATUS_5XX = 'status="5xx"'
FAST = ((HOUR, 5 * MINUTE, 14.4), (6 * HOUR, 30 * MINUTE, 6.0))
SLOW = ((DAY, 2 * HOUR, 3.0), (3 * DAY, 6 * HOUR, 1.0))
"""Long window, short window, and how many times faster than for 30 days the budget burns."""
WINDOWS = tuple(sorted({window for pair in FAST + SLOW for window in pair[:2]}))
NAMES = {
    5 * MINUTE: "5m", 30 * MINUTE: "30m", HOUR: "1h", 2 * HOUR: "2h", 6 * HOUR: "6h", DAY: "1d", 3 * DAY: "3d"
}  # fmt: skip


@dataclass(frozen=True)
class Objective:
    """Attributes:
    name: the label `slo`.
    alert: name of its alerts.
    good: share that is to be good.
    bad: what counts as bad, in words that follow a percentage.
    cause: of the alerts; its runbook has the same name.
    """

    name: str
    alert: str
    good: float
    bad: str
    cause: str


def objectives(settings: RuleSettings) -> tuple[Objective, ...]:
    goals = settings.objectives
    late = f"{settings.deadline_seconds:g} s"
    return (
        Objective(
            "by-higr", "HigrFallbackBudget", goals.by_higr, "of slates were not made by HiGR", "fallback"
        ),
        Objective("in-time", "HigrLatencyBudget", goals.in_time, f"of slates took over {late}", "latency"),
        Objective("answered", "HigrErrorBudget", goals.answered, "of requests were answered 5xx", "errors"),
    )


def errors(window: int) -> str:
    """Name of the recorded share of bad requests."""
    return f"higr:slo_errors:ratio_rate{NAMES[window]}"


def requests(window: int) -> str:
    """Name of the recorded number of requests."""
    return f"higr:slo_requests:increase{NAMES[window]}"


def budgets(settings: RuleSettings) -> Group:
    q = Promql(settings)
    rules: list[Record | Alert] = []
    for objective in objectives(settings):
        labels = {"slo": objective.name}
        rules += [Record(errors(w), _bad(objective, q, settings, w), labels) for w in WINDOWS]
        rules += [Record(requests(w), _all(objective, q, w), labels) for w, _, _ in FAST + SLOW]
    for objective in objectives(settings):
        rules += [_alert(objective, q, settings, fast=True), _alert(objective, q, settings, fast=False)]
    return Group("higr-budgets", tuple(rules))


def _bad(objective: Objective, q: Promql, settings: RuleSettings, window: int) -> str:
    if objective.name == "by-higr":
        return f"({q.rate(m.SLATES, window, NOT_BY_HIGR)} or vector(0)) / {q.rate(m.SLATES, window)}"
    if objective.name == "in-time":
        le = f'le="{floatToGoString(settings.deadline_seconds)}"'
        within = q.rate(m.REQUEST_SECONDS, window, le, part="bucket")
        return f"1 - {within} / {q.rate(m.REQUEST_SECONDS, window, part='count')}"
    failed = q.rate(m.RESPONSES, window, OF_SLATES, STATUS_5XX)
    return f"({failed} or vector(0)) / {q.rate(m.RESPONSES, window, OF_SLATES)}"


def _all(objective: Objective, q: Promql, window: int) -> str:
    if objective.name == "answered":
        return q.increase(m.RESPONSES, window, OF_SLATES)
    return q.increase(m.SLATES, window)


def _alert(objective: Objective, q: Promql, settings: RuleSettings, *, fast: bool) -> Alert:
    label = f'slo="{objective.name}"'
    parts = []
    for long, short, burn in FAST if fast else SLOW:
        limit = f"{burn * (1 - objective.good):.6g}"
        parts.append(
            f"({q.of(errors(long), label)} > {limit} and {q.of(errors(short), label)} > {limit} "
            f"and {q.of(requests(long), label)} >= {settings.min_requests})"
        )
    over = "1 or 6 hours" if fast else "1 or 3 days"
    return Alert(
        objective.alert,
        " or ".join(parts),
        severity="page" if fast else "watch",
        team="serving",
        cause=objective.cause,
        wait=2 * MINUTE if fast else HOUR,
        summary=f"The budget of the objective {objective.name} burns "
        + ("fast: it would be gone within days." if fast else "slowly, but faster than it is given."),
        description=f"{{{{ $value | humanizePercentage }}}} {objective.bad} over {over}; "
        f"{1 - objective.good:.3g} of all are allowed over 30 days.",
        runbook=objective.cause,
        dashboard="higr-oncall",
        labels={"slo": objective.name},
    )
