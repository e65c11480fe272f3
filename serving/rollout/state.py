"""What a rollout is and what has been seen of it, as it lies in the ConfigMap NAME-rollout.

All that is needed to go on is here: a controller that is killed and started again, anywhere, continues.
"""

from typing import Literal

from pydantic import ValidationError

from higr.errors import InputError
from serving.rollout.config import RolloutConfig
from serving.rollout.decide import Decision
from serving.rollout.evidence import Counted, Figures
from serving.rollout.judge import Finding

Phase = Literal["progressing", "promoting", "promoted", "reverting", "rolled-back", "held"]
PHASES: tuple[Phase, ...] = ("progressing", "promoting", "promoted", "reverting", "rolled-back", "held")
ENDED: tuple[Phase, ...] = ("promoted", "rolled-back")
KEPT = 50
"""Entries of the history."""


class Entry(Figures):
    """A line of the history: who did what, when (Unix seconds) and why."""

    at: float
    by: str
    phase: Phase
    step: int
    weight: int
    why: str


class State(Figures):
    """Attributes:
    stable_uri, candidate_uri: of the two bundles when the rollout began.
    stable_version, candidate_version: as each side says what it serves; empty: not known yet.
    step: index of the one in force.
    step_began: when its weight was on the route, Unix seconds; 0: not yet.
    weight_before: what the route may still have, if a move was interrupted.
    looked: until when series were counted, Unix seconds.
    counted: since the step began.
    strata: outcomes, one a step.
    findings, slates: of the last look.
    """

    schema_version: Literal[1] = 1
    phase: Phase
    stable_uri: str
    candidate_uri: str
    stable_version: str = ""
    candidate_version: str = ""
    began: float
    step: int = 0
    step_began: float = 0.0
    weight_before: int = 0
    phase_began: float
    looked: float = 0.0
    counted: Counted = Counted()
    strata: tuple[Counted, ...] = (Counted(),)
    findings: tuple[Finding, ...] = ()
    verdict: str = "hold"
    why: str = ""
    by: str = "rollout"
    history: tuple[Entry, ...] = ()

    def weight(self, config: RolloutConfig) -> int:
        """What the route should give to the canary."""
        if self.phase in ("promoted", "reverting", "rolled-back"):
            return 0
        return config.steps[min(self.step, len(config.steps) - 1)].weight

    def entered(self, phase: Phase, now: float, why: str, by: str, weight: int, step: int) -> "State":
        """Another phase or step, with a line in the history."""
        entry = Entry(at=round(now, 1), by=by, phase=phase, step=step, weight=weight, why=why)
        return self.model_copy(
            update={
                "phase": phase,
                "phase_began": now,
                "step": step,
                "why": why,
                "by": by,
                "history": (*self.history, entry)[-KEPT:],
            }
        )

    def advanced(self, config: RolloutConfig, now: float, why: str) -> "State":
        """One step up; its time and its counts begin when its weight is on the route."""
        before, step = self.weight(config), self.step + 1
        moved = self.entered("progressing", now, why, "rollout", config.steps[step].weight, step)
        return moved.model_copy(
            update={"weight_before": before, "step_began": 0.0, "counted": Counted(), "verdict": "advance"}
        )

    def judged(self, decision: Decision) -> "State":
        return self.model_copy(update={"verdict": decision.verdict, "why": decision.why, "by": "rollout"})


def read_state(text: str | None, name: str) -> State | None:
    """None: there was never one.

    Raises:
        InputError: it is not one of this version.
    """
    if not text:
        return None
    try:
        return State.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InputError(
            f"ConfigMap {name}: key state cannot be read ({where}: {first['msg']}); "
            "set command to restart, and the rollout begins again"
        ) from None
