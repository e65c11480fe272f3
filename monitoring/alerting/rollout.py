"""A rollout that waits for a person, that took a bundle back, or that nobody moves any more."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.rule import Alert, Group
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import DAY, MINUTE

SILENT = 15 * MINUTE
"""Since the last look of one that is on its way; it looks every half minute, and a killed one starts again
within five."""
NEWS = DAY
"""A rollback is told for so long: a Pushgateway never forgets it."""


def rollout(settings: RuleSettings) -> Group:
    q = Promql(settings)

    silent, news = (f"{seconds / settings.time_scale:g}" for seconds in (SILENT, NEWS))

    def since(moment: m.Metric) -> str:
        return f"time() - max({q.of(moment)})"

    def phase(*names: str) -> str:
        matcher = 'phase=~"' + "|".join(names) + '"'
        return f"max({q.of(m.ROLLOUT_PHASE, matcher)}) == 1"

    return Group(
        "higr-rollout",
        (
            Alert(
                "HigrRolloutHeld",
                phase("held"),
                severity="watch",
                team="ml",
                cause="rollout",
                summary="A rollout is held: it goes on only on a person's order.",
                description="The rollout is held at the weight that its canary has.",
                runbook="rollout",
                dashboard="higr-rollout",
            ),
            Alert(
                "HigrRolloutRolledBack",
                f"{since(m.ROLLOUT_PHASE_BEGAN)} < {news} and {phase('reverting', 'rolled-back')}",
                severity="watch",
                team="ml",
                cause="rollout",
                summary="A bundle was rolled back: users have the one before it.",
                description="The last rollout was taken back {{ $value | humanizeDuration }} ago.",
                runbook="rollout",
                dashboard="higr-rollout",
            ),
            Alert(
                "HigrRolloutStalled",
                f"{since(m.ROLLOUT_LOOK)} > {silent} and {phase('progressing', 'promoting', 'reverting')}",
                severity="watch",
                team="ml",
                cause="rollout",
                summary="A rollout is on its way and nobody looks: the canary keeps its share, unwatched.",
                description="The rollout last looked {{ $value | humanizeDuration }} ago.",
                runbook="rollout",
                dashboard="higr-rollout",
            ),
        ),
    )
