"""The endpoint in detail: times, answers, the ladder, the decoder, files and logs."""

from higr import metrics as m
from monitoring.alerting import recording
from monitoring.alerting.promql import Promql
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import MINUTE
from monitoring.grafana.panels import Board, Panel, Query, Row

WINDOW = 5 * MINUTE


def serving(settings: RuleSettings) -> Board:
    q = Promql(settings)
    quantiles = tuple(
        Query(q.quantile(share, m.REQUEST_SECONDS, WINDOW), f"p{share * 100:g}")
        for share in (0.5, 0.95, 0.99)
    )
    return Board(
        "higr-serving",
        "HiGR: serving",
        "Times, answers, the ladder, the decoder, files and logs of the endpoint.",
        (
            Row(
                "Times",
                (
                    Panel(
                        "From request to slate",
                        "The slowest hundredth must stay below the deadline.",
                        quantiles,
                        unit="s",
                        red=settings.deadline_seconds,
                        width=8,
                    ),
                    Panel(
                        "Slowest hundredth by source",
                        "Where the baseline is slow as well, the machine is.",
                        (Query(q.quantile(0.99, m.REQUEST_SECONDS, WINDOW, by="source"), "{{source}}"),),
                        unit="s",
                        width=8,
                    ),
                    Panel(
                        "Slowest hundredth by step",
                        "features may take a fifth of the deadline, the predictor until three quarters of "
                        "it.",
                        (Query(q.of(recording.STEP_P99), "{{step}}"),),
                        unit="s",
                        width=8,
                    ),
                ),
            ),
            Row(
                "Answers",
                (
                    Panel(
                        "By endpoint and class",
                        "5xx should never be. 4xx are requests that the endpoint does not take.",
                        (
                            Query(
                                q.rate(m.RESPONSES, WINDOW, by="endpoint, status"), "{{endpoint}} {{status}}"
                            ),
                        ),
                        kind="stack",
                        unit="reqps",
                        width=8,
                    ),
                    Panel(
                        "Refused, by field",
                        "The field at fault says which client to call.",
                        (Query(q.rate(m.REJECTED, WINDOW, by="field"), "{{field}}"),),
                        unit="reqps",
                        width=8,
                    ),
                    Panel(
                        "Short and empty slates",
                        "Neither should be, but by policy or by what requests leave out.",
                        (Query(q.rate(m.SHORT, WINDOW, by="length"), "{{length}}"),),
                        unit="reqps",
                        width=8,
                    ),
                ),
            ),
            Row(
                "The ladder",
                (
                    Panel(
                        "Fallback share by reason",
                        "Why the model did not make a slate.",
                        (Query(q.of(recording.FALLBACK_SHARE), "{{reason}}"),),
                        kind="stack",
                        unit="percentunit",
                        width=8,
                        full=1,
                    ),
                    Panel(
                        "Without fresh features",
                        "unknown_user are visitors; late and store_failed are the feature store.",
                        (Query(q.of(recording.DEGRADED_SHARE), "{{reason}}"),),
                        kind="stack",
                        unit="percentunit",
                        width=8,
                        full=1,
                    ),
                    Panel(
                        "Feedback on its way into features",
                        "dropped: users' contexts miss events. Failures are tried again.",
                        (
                            Query(q.rate(m.PUSHED_EVENTS, WINDOW, by="outcome"), "{{outcome}}"),
                            Query(q.rate(m.FEATURE_FAILURES, WINDOW, by="work"), "failed: {{work}}"),
                        ),
                        unit="reqps",
                        width=8,
                    ),
                ),
            ),
            Row(
                "The decoder",
                (
                    Panel(
                        "Requests a batch",
                        "Grows with load; at its most the decoder is full.",
                        (Query(f"{q.rate(m.BATCHED, WINDOW)} / {q.rate(m.BATCHES, WINDOW)}", "requests"),),
                        width=8,
                    ),
                    Panel(
                        "In the decoder",
                        "Waiting that stays above zero is overload.",
                        (
                            Query(f"sum({q.of(m.IN_FLIGHT)})", "accepted"),
                            Query(f"sum({q.of(m.WAITING)})", "waiting"),
                        ),
                        width=8,
                    ),
                    Panel(
                        "Given up, by reason",
                        "The baseline answers these in time.",
                        (Query(q.rate(m.NOT_DECODED, WINDOW, by="reason"), "{{reason}}"),),
                        unit="reqps",
                        width=8,
                    ),
                ),
            ),
            Row(
                "Files and logs",
                (
                    Panel(
                        "Files that could not be taken",
                        "Of ten minutes. What was before stays in force.",
                        (
                            Query(q.increase(m.SWITCH_ERRORS, 10 * MINUTE), "switch"),
                            Query(q.increase(m.POLICY_ERRORS, 10 * MINUTE), "policy"),
                            Query(q.increase(m.TOKEN_ERRORS, 10 * MINUTE), "tokens"),
                            Query(q.increase(m.BUNDLE_ERRORS, 10 * MINUTE), "bundle"),
                        ),
                        width=8,
                    ),
                    Panel(
                        "Policy expired",
                        "1: nothing is sold any more; everything else still holds.",
                        (Query(f"max({q.of(m.POLICY_EXPIRED)})", "expired"),),
                        kind="states",
                        width=8,
                    ),
                    Panel(
                        "Logs",
                        "Failed writes are tried again; lost rows are lost.",
                        (
                            Query(q.rate(m.LOG_FAILURES, WINDOW, by="sink"), "failed: {{sink}}"),
                            Query(q.rate(m.LOG_DROPPED, WINDOW, by="sink"), "lost: {{sink}}"),
                        ),
                        unit="reqps",
                        width=8,
                    ),
                ),
            ),
        ),
    )
