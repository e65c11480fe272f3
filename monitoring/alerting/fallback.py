"""Slates go out, but HiGR does not make them."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.recording import FALLBACK_SHARE, SLATES_RATE
from monitoring.alerting.rule import Alert, Group
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import MINUTE

NOT_SWITCHED = 'reason!="switch"'
POPULAR = 'source="popular"'
NO_CROWD = 'reason!="overloaded"'
CLOSED = 'state="closed"'


def fallback(settings: RuleSettings) -> Group:
    q = Promql(settings)
    return Group(
        "higr-fallback",
        (
            Alert(
                "HigrFallbackShare",
                # A switch on the baseline has an alert of its own.
                f"{q.of(FALLBACK_SHARE, NOT_SWITCHED)} > {settings.fallback_watch:g}",
                severity="watch",
                team="serving",
                cause="fallback",
                wait=10 * MINUTE,
                summary="A good part of the slates is made by the baseline instead of the model, for one "
                "reason.",
                description="{{ $value | humanizePercentage }} of slates fall back for reason "
                "{{ $labels.reason }}.",
                runbook="fallback",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrMostlyFallback",
                f"sum({q.of(FALLBACK_SHARE)}) > {settings.fallback_page:g}",
                severity="page",
                team="serving",
                cause="fallback",
                wait=5 * MINUTE,
                summary="Most slates are made by the baseline: the model is away, slow or failing.",
                description="{{ $value | humanizePercentage }} of slates were not made by the model in the "
                "last 5 minutes.",
                runbook="fallback",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrBaselineFailing",
                # A crowd has popular items straight away, by design.
                f"sum({q.of(SLATES_RATE, POPULAR, NO_CROWD)}) / sum({q.of(SLATES_RATE)}) > 0.01",
                severity="page",
                team="serving",
                cause="baseline",
                wait=5 * MINUTE,
                summary="The baseline fails too: users get the same popular items, the last step before "
                "nothing.",
                description="{{ $value | humanizePercentage }} of slates are popular items because model and "
                "baseline failed.",
                runbook="fallback",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrBreakerOpen",
                f"min(avg_over_time({q.of(m.BREAKER, CLOSED)}[{q.window(5 * MINUTE)}])) < 0.5",
                severity="watch",
                team="serving",
                cause="fallback",
                wait=2 * MINUTE,
                summary="A transformer has stopped asking the predictor, because it kept failing.",
                description="The breaker of at least one process was closed only "
                "{{ $value | humanizePercentage }} of the last 5 minutes.",
                runbook="fallback",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrDecoderOverloaded",
                f"{q.rate(m.NOT_DECODED, 5 * MINUTE)} / "
                f"({q.rate(m.NOT_DECODED, 5 * MINUTE)} + {q.rate(m.BATCHED, 5 * MINUTE)}) > 0.1",
                severity="watch",
                team="serving",
                cause="fallback",
                wait=10 * MINUTE,
                summary="The predictor refuses requests because it cannot decode them in time.",
                description="{{ $value | humanizePercentage }} of what the decoder was asked for was given "
                "up.",
                runbook="fallback",
                dashboard="higr-serving",
            ),
        ),
    )
