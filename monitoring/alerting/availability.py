"""What a client of the endpoint would notice: no answers, errors, slow ones, slates that are not whole."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.recording import P99
from monitoring.alerting.rule import Alert, Group
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import DAY, MINUTE

BUSY = 0.05
"""Requests a second, over a day, from which on silence is no chance: one in 20 s."""
OF_SLATES = 'endpoint="slates"'
STATUS_5XX = 'status="5xx"'
STATUS_4XX = 'status="4xx"'
EMPTY = 'length="empty"'
SHORT = 'length="short"'


def availability(settings: RuleSettings) -> Group:
    """Nobody answers, nobody asks, answers are errors, slow, or not whole."""
    q = Promql(settings)
    answers = q.rate(m.RESPONSES, 5 * MINUTE, OF_SLATES)
    return Group(
        "higr-availability",
        (
            Alert(
                "HigrServingDown",
                f"absent({q.of(m.SWITCH)})",
                severity="page",
                team="serving",
                cause="down",
                wait=2 * MINUTE,
                summary="Prometheus sees no transformer: users may have no slates at all.",
                description=f"{m.SWITCH.name} has been missing for 2 minutes: no process answers, or none is "
                "scraped.",
                runbook="serving-down",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrNoRequests",
                f"{q.rate(m.SLATES, 15 * MINUTE)} == 0 "
                f"and sum(rate({q.of(m.SLATES)}[{q.window(DAY)}])) > {BUSY}",
                severity="page",
                team="serving",
                cause="traffic",
                wait=5 * MINUTE,
                summary="Nobody asks for slates any more: the way from the clients to the endpoint may be "
                "broken.",
                description="No slate was asked for in 15 minutes; over the last day there was one every 20 "
                "seconds or more often.",
                runbook="serving-down",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrServerErrors",
                f"{q.rate(m.RESPONSES, 5 * MINUTE, OF_SLATES, STATUS_5XX)} / {answers} > 0.01",
                severity="page",
                team="serving",
                cause="errors",
                wait=5 * MINUTE,
                summary="Requests for slates are answered with server errors instead of slates.",
                description="{{ $value | humanizePercentage }} of answers in the last 5 minutes were 5xx; "
                "none should be.",
                runbook="errors",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrRejectedRequests",
                f"{q.rate(m.RESPONSES, 15 * MINUTE, OF_SLATES, STATUS_4XX)} / "
                f"{q.rate(m.RESPONSES, 15 * MINUTE, OF_SLATES)} > 0.2",
                severity="watch",
                team="serving",
                cause="errors",
                wait=15 * MINUTE,
                summary="Many requests are refused as malformed: a client sends what the endpoint does not "
                "take.",
                description="{{ $value | humanizePercentage }} of answers in the last 15 minutes were 4xx.",
                runbook="errors",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrSlow",
                f"{q.of(P99)} > {settings.deadline_seconds}",
                severity="watch",
                team="serving",
                cause="latency",
                wait=10 * MINUTE,
                summary="The slowest hundredth of requests comes after the deadline.",
                description="99 of 100 slates come within {{ $value | humanizeDuration }}; "
                f"the deadline is {settings.deadline_seconds:g} s.",
                runbook="latency",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrEmptySlates",
                f"{q.increase(m.SHORT, 10 * MINUTE, EMPTY)} / {q.increase(m.SLATES, 10 * MINUTE)} > 0.001",
                severity="page",
                team="serving",
                cause="slates",
                wait=2 * MINUTE,
                summary="Users get empty slates.",
                description="{{ $value | humanizePercentage }} of slates in the last 10 minutes had no item; "
                "none should be empty.",
                runbook="short-slates",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrShortSlates",
                f"{q.increase(m.SHORT, 30 * MINUTE, SHORT)} / {q.increase(m.SLATES, 30 * MINUTE)} > 0.001",
                severity="watch",
                team="serving",
                cause="slates",
                wait=5 * MINUTE,
                summary="Users get slates with fewer items than were asked for.",
                description="{{ $value | humanizePercentage }} of slates in the last 30 minutes were short.",
                runbook="short-slates",
                dashboard="higr-serving",
            ),
        ),
    )
