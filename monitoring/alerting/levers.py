"""Files that people and jobs move while it serves: switch, policy, tokens, bundle."""

from higr import metrics as m
from monitoring.alerting.promql import Promql
from monitoring.alerting.rule import Alert, Group
from monitoring.alerting.settings import RuleSettings
from monitoring.alerting.times import HOUR, MINUTE

ON_BASELINE = 'position="baseline"'
ON_HIGR = 'position="higr"'


def levers(settings: RuleSettings) -> Group:
    """Files that people and jobs move while it serves: switch, policy, tokens, bundle."""
    q = Promql(settings)
    return Group(
        "higr-levers",
        (
            Alert(
                "HigrSwitchOnBaseline",
                f"max({q.of(m.SWITCH, ON_BASELINE)}) == 1",
                severity="watch",
                team="serving",
                cause="switch",
                wait=MINUTE,
                summary="The switch is on baseline: the model is not asked. A person or a drift trip put it "
                "there.",
                description="At least one transformer stands on baseline; the model makes none of its slates "
                "until it is put back.",
                runbook="switch",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrSwitchPinned",
                f"min({q.of(m.SWITCH, ON_HIGR)}) == 1",
                severity="watch",
                team="serving",
                cause="switch",
                wait=4 * HOUR,
                summary="The switch is pinned on higr: drift cannot trip it, whatever happens.",
                description="All transformers have stood on higr for 4 hours; auto is the position that "
                "protects.",
                runbook="switch",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrSwitchDisagrees",
                f"count(sum by (position) ({q.of(m.SWITCH)}) > 0) > 1",
                severity="watch",
                team="serving",
                cause="switch",
                wait=10 * MINUTE,
                summary="Transformers stand on different positions of the switch.",
                description="{{ $value }} positions are in force at once; a change reaches every pod within "
                "about a minute.",
                runbook="switch",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrSwitchUnreadable",
                f"{q.increase(m.SWITCH_ERRORS, 10 * MINUTE)} > 0",
                severity="page",
                team="serving",
                cause="switch-file",
                summary="The switch cannot be read: the one lever that makes things safe does not work now.",
                description="{{ $value | humanize }} changes of the switch file could not be taken in 10 "
                "minutes; the last position stays.",
                runbook="switch",
                dashboard="higr-oncall",
            ),
            Alert(
                "HigrPolicyUnreadable",
                f"{q.increase(m.POLICY_ERRORS, 10 * MINUTE)} > 0",
                severity="page",
                team="serving",
                cause="policy",
                summary="A new policy was not taken: what it was to block is still shown.",
                description="{{ $value | humanize }} changes of the policy file could not be taken in 10 "
                "minutes; the last policy stays.",
                runbook="policy",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrPolicyExpired",
                f"max({q.of(m.POLICY_EXPIRED)}) == 1",
                severity="watch",
                team="serving",
                cause="policy",
                wait=5 * MINUTE,
                summary="The policy has expired: nothing is sold any more; everything else still holds.",
                description="At least one process serves under a policy whose `expires` has passed.",
                runbook="policy",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrTokensUnreadable",
                f"{q.increase(m.TOKEN_ERRORS, 10 * MINUTE)} > 0",
                severity="page",
                team="serving",
                cause="tokens",
                summary="New tokens were not taken: a token that was to be shut out still opens the door.",
                description="{{ $value | humanize }} changes of a file of tokens could not be taken in "
                "10 minutes; the last ones stay.",
                runbook="tokens",
                dashboard="higr-serving",
            ),
            Alert(
                "HigrBundleRefused",
                f"{q.increase(m.BUNDLE_ERRORS, 10 * MINUTE)} > 0",
                severity="watch",
                team="ml",
                cause="bundle",
                summary="A new bundle was refused; the one before is still served.",
                description="{{ $value | humanize }} tries to take another bundle failed in 10 minutes.",
                runbook="bundle",
                dashboard="higr-training",
            ),
            Alert(
                "HigrBundlesDiffer",
                f"count(sum by (version) ({q.of(m.BUNDLE)}) > 0) > 1",
                severity="watch",
                team="ml",
                cause="bundle",
                wait=HOUR,
                summary="Processes serve different bundles, longer than a roll-out should take.",
                description="{{ $value }} versions have been served side by side for an hour.",
                runbook="bundle",
                dashboard="higr-training",
            ),
        ),
    )
