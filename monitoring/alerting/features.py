"""HiGR makes slates, but knows less of the users than it could."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.recording import DEGRADED_SHARE
from monitoring.alerting.rule import Alert, Group
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import MINUTE

UNEXPECTED = 'reason!~"unknown_user|no_store|overloaded"'
"""Other reasons of `higr_degraded_requests` say nothing of the store: visitors, none configured, load."""
DROPPED = 'outcome="dropped"'


def features(settings: RuleSettings) -> Group:
    q = Promql(settings)
    return Group(
        "higr-features",
        (
            Alert(
                "HigrDegraded",
                f"{q.of(DEGRADED_SHARE, UNEXPECTED)} > 0.1",
                severity="watch",
                team="serving",
                cause="features",
                wait=10 * MINUTE,
                summary="Slates are made without the users' features: they are not personal.",
                description="{{ $value | humanizePercentage }} of slates had no fresh features, for reason "
                "{{ $labels.reason }}.",
                runbook="features",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrFeatureWorkFailing",
                f"{q.increase(m.FEATURE_FAILURES, 10 * MINUTE, by='work')} > 0",
                severity="watch",
                team="serving",
                cause="features",
                wait=10 * MINUTE,
                summary="Work on the feature store beside requests keeps failing: contexts or item status "
                "get old.",
                description="Work {{ $labels.work }} failed {{ $value | humanize }} times in 10 minutes; "
                "it is tried again.",
                runbook="features",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrPushDropped",
                f"{q.increase(m.PUSHED_EVENTS, 10 * MINUTE, DROPPED)} > 0",
                severity="watch",
                team="serving",
                cause="features",
                wait=5 * MINUTE,
                summary="Feedback comes faster than the feature store takes it: users' contexts miss events.",
                description="{{ $value | humanize }} events were dropped on their way to the store in 10 "
                "minutes; the feedback log has them.",
                runbook="features",
                dashboard="higr-serving",
            ),
        ),
    )
