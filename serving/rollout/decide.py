"""What a look's findings lead to: a step up, promotion, rollback, or patience. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from serving.rollout.config import RolloutConfig
from serving.rollout.judge import Finding, mean_margins

Verdict = Literal["advance", "promote", "roll-back", "hold"]
VERDICTS: tuple[Verdict, ...] = ("advance", "promote", "roll-back", "hold")


@dataclass(frozen=True)
class Decision:
    """Attributes:
    why: one line for a person.
    over: the greatest time of the step has passed: a hold is then for a person to end.
    """

    verdict: Verdict
    why: str
    over: bool = False


def decide(
    config: RolloutConfig, index: int, seconds: float, slates: float, findings: Sequence[Finding]
) -> Decision:
    """Judge a step by what was measured in it.

    Args:
        index: of the step.
        seconds: since it began.
        slates: of the canary since then.
    """
    step, last = config.steps[index], index + 1 == len(config.steps)
    if worse := [finding for finding in findings if finding.standing == "worse"]:
        return Decision("roll-back", f"worse than its margin: {_listed(worse)}")
    if seconds < step.least_seconds:
        return Decision("hold", f"{seconds:.0f} of at least {step.least_seconds:g} seconds of this step")
    if slates < step.least_slates:
        short = f"{slates:.0f} of at least {step.least_slates} slates of the canary in this step"
        return out_of_time(config, index, seconds, short)
    # What users like is judged over all steps: it has until the last one.
    due = [f for f in findings if last or f.measure not in mean_margins(config)]
    if undecided := [finding for finding in due if finding.standing == "open"]:
        return out_of_time(config, index, seconds, f"not yet decided: {_listed(undecided)}")
    if last:
        return Decision("promote", f"within all margins after {len(config.steps)} steps: {_listed(due)}")
    return Decision("advance", f"within its margins at {step.weight} %: {_listed(due)}")


def out_of_time(config: RolloutConfig, index: int, seconds: float, why: str) -> Decision:
    """Patience, for `why`, until the greatest time of the step has passed."""
    greatest = config.steps[index].greatest_seconds
    if seconds <= greatest:
        return Decision("hold", why)
    return Decision(config.on_timeout, f"{why}, after more than {greatest:g} seconds", over=True)


def _listed(findings: Sequence[Finding]) -> str:
    return "; ".join(map(str, findings))
