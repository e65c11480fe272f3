"""What monitoring and the next training run will read."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.recording import FEEDBACK_PER_SLATE
from monitoring.alerting.rule import Alert, Group
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import DAY, MINUTE

FEW_FEEDBACK = 0.2
"""Of a week's mean: feedback a slate below this is an outage, not a mood."""
REFUSED = 'outcome="refused"'


def logs(settings: RuleSettings) -> Group:
    """What monitoring and the next training run will read."""
    q = Promql(settings)
    return Group(
        "higr-logs",
        (
            Alert(
                "HigrLogFailures",
                f"{q.increase(m.LOG_FAILURES, 10 * MINUTE, by='sink')} > 0",
                severity="watch",
                team="serving",
                cause="logs",
                wait=5 * MINUTE,
                summary="Logs of slates or feedback cannot be written: drift and the next training run will "
                "not see them.",
                description="{{ $value | humanize }} writes of {{ $labels.sink }} failed in 10 minutes.",
                runbook="logs",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrLogRowsLost",
                f"{q.increase(m.LOG_DROPPED, 10 * MINUTE, by='sink')} > 0",
                severity="watch",
                team="serving",
                cause="logs",
                summary="Rows of a log are lost for good: drift and the next training run will miss them.",
                description="{{ $value | humanize }} rows of {{ $labels.sink }} were lost in 10 minutes.",
                runbook="logs",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrFeedbackRefused",
                f"{q.increase(m.FEEDBACK_EVENTS, 10 * MINUTE, REFUSED)} > 0",
                severity="page",
                team="serving",
                cause="logs",
                wait=5 * MINUTE,
                summary="Feedback is refused because the disk does not take it; clients can keep it only so "
                "long.",
                description="{{ $value | humanize }} events were refused in 10 minutes.",
                runbook="logs",
                dashboard="higr-preference",
            ),
            Alert(
                "HigrFeedbackOutage",
                f"{q.of(FEEDBACK_PER_SLATE)} < {FEW_FEEDBACK} * "
                f"avg_over_time({q.of(FEEDBACK_PER_SLATE)}[{q.window(7 * DAY)}])",
                severity="watch",
                team="ml",
                cause="feedback",
                wait=30 * MINUTE,
                summary="Feedback has stopped, or nearly: nobody can tell any more how slates are received.",
                description='{{ printf "%.2g" $value }} events a slate in the last hour, less than a fifth '
                "of the week's mean.",
                runbook="feedback",
                dashboard="higr-preference",
            ),
        ),
    )
