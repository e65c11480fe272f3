"""The rollout of a canary: what was decided, on what evidence, and how slates were received on each side."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import HOUR, MINUTE
from monitoring.grafana.panels import Board, Panel, Query, Row


def rollout(settings: RuleSettings) -> Board:
    q = Promql(settings)

    def per_slate(metric: m.Metric) -> Query:
        over = q.increase(m.OUTCOME_SLATES, HOUR, by="version")
        return Query(f"{q.increase(metric, HOUR, by='version')} / {over}", "{{version}}")

    def deviation(total: m.Metric, squares: m.Metric) -> Query:
        slates = q.increase(m.OUTCOME_SLATES, HOUR, by="version")
        mean = f"({q.increase(total, HOUR, by='version')} / {slates})"
        square = f"({q.increase(squares, HOUR, by='version')} / {slates})"
        return Query(f"sqrt(clamp_min({square} - {mean} ^ 2, 0))", "deviation of {{version}}")

    return Board(
        "higr-rollout",
        "HiGR: rollout",
        "A canary against the stable side: its share of the traffic, the evidence, and what was decided.",
        (
            Row(
                "Decision",
                (
                    Panel(
                        "Where it is",
                        "promoted and rolled-back are ends; held waits for a person (docs/rollout.md).",
                        (Query(f"max by (phase) ({q.of(m.ROLLOUT_PHASE)}) == 1", "{{phase}}"),),
                        kind="states",
                        width=8,
                    ),
                    Panel(
                        "What the last look decided",
                        "hold: not enough is known, or the metrics cannot be relied on.",
                        (Query(f"max by (decision) ({q.of(m.ROLLOUT_DECISION)}) == 1", "{{decision}}"),),
                        kind="states",
                        width=8,
                    ),
                    Panel(
                        "Canary's share of the traffic",
                        "Per cent. It rises by steps, and falls to 0 at the end of either kind.",
                        (Query(f"max({q.of(m.ROLLOUT_WEIGHT)})", "weight"),),
                        width=8,
                        full=100,
                    ),
                    Panel(
                        "Since the last look",
                        "Much longer than look_seconds: nobody watches the canary.",
                        (Query(f"time() - max({q.of(m.ROLLOUT_LOOK)})"),),
                        kind="number",
                        unit="s",
                        width=8,
                    ),
                ),
            ),
            Row(
                "Evidence",
                (
                    Panel(
                        "How much worse than its margin the canary is",
                        "Bounds that hold at every look, each in its measure's unit. low above 0: rolled "
                        "back. high up to 0: proven fine.",
                        (
                            Query(
                                f"max by (measure, bound) ({q.of(m.ROLLOUT_EXCESS)})", "{{measure}} {{bound}}"
                            ),
                        ),
                    ),
                    Panel(
                        "Slates asked in this step",
                        "Of each side. A canary that stays at 0 gets no traffic, whatever the route says.",
                        (Query(f"max by (side) ({q.of(m.ROLLOUT_SLATES)})", "{{side}}"),),
                    ),
                ),
            ),
            Row(
                "Reception by bundle",
                (
                    Panel(
                        "Watched per slate",
                        "Mean seconds over an hour, and their spread, of slates whose time for feedback is "
                        "over.",
                        (
                            per_slate(m.OUTCOME_WATCH),
                            deviation(m.OUTCOME_WATCH, m.OUTCOME_WATCH_SQUARES),
                        ),
                        unit="s",
                    ),
                    Panel(
                        "Share of items effectively viewed",
                        "Mean over slates of an hour, and its spread.",
                        (
                            per_slate(m.OUTCOME_VIEWS),
                            deviation(m.OUTCOME_VIEWS, m.OUTCOME_VIEWS_SQUARES),
                        ),
                        unit="percentunit",
                    ),
                    Panel(
                        "Feedback by fate",
                        "late: --settle is too short. unknown: their slates are in none of the logs.",
                        (Query(q.rate(m.OUTCOME_FEEDBACK, 5 * MINUTE, by="fate"), "{{fate}}"),),
                        kind="stack",
                        unit="reqps",
                    ),
                    Panel(
                        "Age of the newest slate that is counted",
                        "About --settle and the time until a row is in a part. Rising: logs have stopped.",
                        (Query(f"time() - max({q.of(m.OUTCOME_SETTLED)})"),),
                        kind="number",
                        unit="s",
                    ),
                ),
            ),
        ),
    )
