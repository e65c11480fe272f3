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


class Stratum(Figures):
    """Outcomes of the slates served in one step, which began at `began` (Unix seconds)."""

    began: float
    counted: Counted = Counted()


class State(Figures):
    """Attributes:
    stable_uri, candidate_uri: of the two bundles when the rollout began.
    stable_version, candidate_version: as each side says what it serves; empty: not known yet.
    step: index of the one in force.
    step_began: when its weight was on the route, Unix seconds; 0: not yet.
    weight_before: what the route may still have, if a move was interrupted.
    looked: until when series were counted, Unix seconds.
    counted: since the step began.
    paused: since when a person's pause stands, Unix seconds; 0: none does.
    settled: until when slates had been served whose outcomes were counted by then, Unix seconds.
    strata: one a step that has begun.
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
    paused: float = 0.0
    counted: Counted = Counted()
    settled: float = 0.0
    strata: tuple[Stratum, ...] = ()
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

    def unpaused(self, now: float) -> "State":
        """What times a step or a wait goes on where it stood when the pause began."""
        stood = now - self.paused
        began = self.step_began + stood if self.step_began else 0.0
        return self.model_copy(
            update={"paused": 0.0, "step_began": began, "phase_began": self.phase_began + stood}
        )

    def with_outcomes(self, means: Counted, settled: float) -> "State":
        """Outcomes that were counted since the last look, in the step in which their slates were served.

        They come late, so that is not the step in force. Those of a look in which one step's end and the next
        one's beginning fall together are left out, and those of slates from before the first step.
        """
        places = [sum(s.began <= at for s in self.strata) - 1 for at in (self.settled, settled)]
        strata = self.strata
        if places[0] == places[1] >= 0:
            place = places[0]
            grown = strata[place].model_copy(update={"counted": strata[place].counted + means})
            strata = (*strata[:place], grown, *strata[place + 1 :])
        return self.model_copy(update={"strata": strata, "settled": settled})

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
