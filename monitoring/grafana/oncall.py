"""What somebody sees first who was woken: is it well, who makes the slates, what protects, who watches."""

from higr import metrics as m
from monitoring.alerting import budgets, recording
from monitoring.alerting.promql import Promql
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import HOUR, MINUTE
from monitoring.grafana.panels import Board, Panel, Query, Row


def oncall(settings: RuleSettings) -> Board:
    q = Promql(settings)
    objectives = [
        (objective.name, 1 - objective.good, q.of(budgets.errors(HOUR), f'slo="{objective.name}"'))
        for objective in budgets.objectives(settings)
    ]
    firing = q.of("ALERTS", 'alertname=~"Higr.+"', 'alertstate="firing"')
    slates = q.of(recording.SLATES_RATE)
    by_higr = q.of(recording.SLATES_RATE, 'source="higr"')
    return Board(
        "higr-oncall",
        "HiGR: on call",
        "Is it well, what answers, and since when. Start here; each alert names the runbook to go on with.",
        (
            Row(
                "Is it well",
                (
                    Panel(
                        "What fires",
                        "Alerts that fire now. severity page: now; watch: in daylight. docs/alerting.md "
                        "leads to each one's runbook.",
                        (Query(firing),),
                        kind="table",
                        width=12,
                    ),
                    Panel(
                        "Slates by HiGR",
                        "Share of slates that the model made in five minutes. The rest are the baseline's.",
                        (Query(f"sum({by_higr}) / sum({slates})", "by HiGR"),),
                        kind="number",
                        unit="percentunit",
                        width=4,
                        red=1 - settings.fallback_page,
                        low=True,
                    ),
                    Panel(
                        "Slowest hundredth",
                        f"99 of 100 slates come within this. The deadline is {settings.deadline_seconds:g} "
                        "s.",
                        (Query(q.of(recording.P99), "p99"),),
                        kind="number",
                        unit="s",
                        width=4,
                        red=settings.deadline_seconds,
                    ),
                    Panel(
                        "Slates a second",
                        "All sources together. Zero on a busy site: nobody reaches the endpoint.",
                        (Query(f"sum({slates})", "slates"),),
                        kind="number",
                        unit="reqps",
                        width=4,
                    ),
                ),
            ),
            Row(
                "Who makes the slates",
                (
                    Panel(
                        "Slates by source",
                        "higr: the model. baseline: the ladder below it. popular: the last step before "
                        "nothing.",
                        (Query(f"sum by (source) ({slates})", "{{source}}"),),
                        kind="stack",
                        unit="reqps",
                    ),
                    Panel(
                        "Why not the model",
                        "Share of slates that fall back, by reason; the fallback runbook explains each.",
                        (Query(q.of(recording.FALLBACK_SHARE), "{{reason}}"),),
                        kind="stack",
                        unit="percentunit",
                        full=1,
                    ),
                ),
            ),
            Row(
                "Budgets of the month",
                tuple(
                    Panel(
                        f"Bad of the last hour: {name}",
                        f"Share of bad requests. {allowed:.3g} uses the month's budget up in just a month.",
                        (Query(series, name),),
                        unit="percentunit",
                        width=8,
                        red=allowed,
                    )
                    for name, allowed, series in objectives
                ),
            ),
            Row(
                "What protects",
                (
                    Panel(
                        "Switch",
                        "Processes on each position. More than one position for long: a pod does not see the "
                        "change.",
                        (Query(f"sum by (position) ({q.of(m.SWITCH)})", "{{position}}"),),
                        kind="states",
                        width=8,
                    ),
                    Panel(
                        "Breaker",
                        "Processes in each state. open or probing: the predictor kept failing and is not "
                        "asked.",
                        (Query(f"sum by (state) ({q.of(m.BREAKER)})", "{{state}}"),),
                        kind="states",
                        width=8,
                    ),
                    Panel(
                        "Bundle",
                        "Processes by version that they serve.",
                        (Query(f"sum by (version) ({q.of(m.BUNDLE)}) > 0", "{{version}}"),),
                        kind="states",
                        width=8,
                    ),
                ),
            ),
            Row(
                "Who watches",
                (
                    Panel(
                        "Drift verdict",
                        "The one that is 1 is in force. no-data is no all-clear.",
                        (Query(f"max by (verdict) ({q.of(m.DRIFT_VERDICT)})", "{{verdict}}"),),
                        kind="states",
                    ),
                    Panel(
                        "Age of the drift verdict",
                        "Older than two and a half periods: the drift job has stopped.",
                        (Query(f"time() - max({q.of(m.DRIFT_RUN)})", "drift"),),
                        kind="number",
                        unit="s",
                        width=6,
                        red=2.5 * settings.drift_period_seconds,
                    ),
                    Panel(
                        "Server errors",
                        "Answers 5xx a second in five minutes. None should be.",
                        (
                            Query(
                                q.rate(m.RESPONSES, 5 * MINUTE, 'status="5xx"', by="endpoint"), "{{endpoint}}"
                            ),
                        ),
                        kind="number",
                        unit="reqps",
                        width=6,
                        red=0.01,
                    ),
                ),
            ),
        ),
    )
