"""Shares and quantiles that several alerts and panels read."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.rule import Group, Record
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import HOUR, MINUTE

SLATES_RATE = "higr:slates:rate5m"
FALLBACK_SHARE = "higr:fallback_share:ratio_rate5m"
DEGRADED_SHARE = "higr:degraded_share:ratio_rate5m"
P99 = "higr:request_seconds:p99_5m"
STEP_P99 = "higr:step_seconds:p99_5m"
FEEDBACK_PER_SLATE = "higr:feedback_per_slate:ratio_rate1h"
NOT_BY_HIGR = 'source!="higr"'
ACCEPTED = 'outcome="accepted"'


def recording(settings: RuleSettings) -> Group:
    """Shares that several alerts and panels read."""
    q = Promql(settings)
    all_slates = f"sum({q.of(SLATES_RATE)})"
    return Group(
        "higr-recording",
        (
            Record(SLATES_RATE, q.rate(m.SLATES, 5 * MINUTE, by="source, reason")),
            Record(
                FALLBACK_SHARE,
                f"sum by (reason) ({q.of(SLATES_RATE, NOT_BY_HIGR)}) / ignoring (reason) group_left () "
                f"{all_slates}",
            ),
            Record(
                DEGRADED_SHARE,
                f"{q.rate(m.DEGRADED, 5 * MINUTE, by='reason')} / ignoring (reason) group_left () "
                f"{all_slates}",
            ),
            Record(P99, q.quantile(0.99, m.REQUEST_SECONDS, 5 * MINUTE)),
            Record(STEP_P99, q.quantile(0.99, m.STEP_SECONDS, 5 * MINUTE, by="step")),
            Record(
                FEEDBACK_PER_SLATE,
                f"({q.rate(m.FEEDBACK_EVENTS, HOUR, ACCEPTED)} or vector(0)) / "
                f"({q.rate(m.SLATES, HOUR)} > 0)",
            ),
        ),
    )
