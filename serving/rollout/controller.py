"""One look: read the rollout from the cluster, finish what was begun, measure, decide, write, act.

The order makes it safe to be killed anywhere. What is to be is written to the ConfigMap first, then done; the
next look finds what is not done yet and does it. Weights move in one patch, and away from the canary first of
all.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from higr.errors import InputError, StoreError
from serving.rollout.access import Busy
from serving.rollout.cluster import Cluster, Record
from serving.rollout.commands import COMMANDS, Order, order_of
from serving.rollout.config import RolloutConfig
from serving.rollout.decide import Decision, decide, out_of_time
from serving.rollout.evidence import SIDES, Counted
from serving.rollout.judge import judge
from serving.rollout.measure import BEHIND, Look, Measure
from serving.rollout.moves import Moves, version_of
from serving.rollout.prometheus import Unavailable
from serving.rollout.recorder import Recorder
from serving.rollout.state import ENDED, State, read_state

if TYPE_CHECKING:  # a store reads bundles, and for that all of torch
    from higr.store.store import BundleStore


@dataclass(frozen=True)
class Outlook:
    """After a look: the state as it is written, and why nothing more was done."""

    state: State | None
    why: str

    @property
    def ended(self) -> bool:
        """Nothing more is to come without a person."""
        return self.state is None or self.state.phase in (*ENDED, "held")


class Controller:
    """Args:
    store: where a promotion is recorded; None: nowhere but in the cluster.
    """

    def __init__(
        self,
        config: RolloutConfig,
        cluster: Cluster,
        measure: Measure,
        store: "BundleStore | None",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._cluster, self._measure = config, cluster, measure
        self._store, self._clock = store, clock
        self._recorder = Recorder(config, cluster, clock)
        self._moves = Moves(config, cluster, measure, store, self._recorder, clock)

    def look(self) -> Outlook:
        """Raises:
        InputError: objects are missing or not of the form that is due, or may not be touched.
        Busy: the cluster could not do it now; the next look tries again.
        """
        record = self._cluster.record()
        order = order_of(record.data)
        kept = None if order.command == "restart" else read_state(record.data.get("state"), self._name)
        record, state = self._current(record, kept, order)
        if state is None:
            return Outlook(None, "both sides have the same bundle: there is nothing to roll out")
        if order.fault:
            return Outlook(state, order.fault)
        record, state = self._keep_time(record, state, order)
        if order.command == "pause":
            return Outlook(state, f"paused by {order.by}: {order.reason}; command auto goes on")
        record, state = self._obey(record, state, order)
        record, state, waits = self._moves.carry_out(record, state)
        if waits or state.phase not in ("progressing", "held"):
            return Outlook(state, waits or state.why)
        record, state = self._judge(record, state)
        record, state, waits = self._moves.carry_out(record, state)
        return Outlook(state, waits or state.why)

    def offer(self, uri: str) -> None:
        """Give the canary another bundle, with which the next look begins.

        Raises:
            InputError: a promotion or a rollback of another bundle is not finished; or as `look`.
        """
        self._check_store(uri)
        if self._cluster.bundle(self._config.canary) != uri:
            state = read_state(self._cluster.record().data.get("state"), self._name)
            if state is not None and state.phase in ("promoting", "reverting"):
                raise InputError(
                    f"the rollout of {state.candidate_uri} is {state.phase}; wait until it has ended, then "
                    f"offer {uri}"
                )
            self._cluster.set_bundle(self._config.canary, uri)
        self._cluster.remember_bundle("canary", uri)

    @property
    def _name(self) -> str:
        return f"{self._config.name}-rollout"

    def _current(self, record: Record, state: State | None, order: Order) -> tuple[Record, State | None]:
        """The rollout of the bundles that are there now: the one that is kept, or a new one."""
        stable, candidate = (self._cluster.bundle(s) for s in (self._config.name, self._config.canary))
        if state is not None:
            known = (state.stable_uri, state.candidate_uri)
            # What was begun is finished first, whatever the canary has been given meanwhile.
            unfinished = state.phase in ("promoting", "reverting") and stable in known
            # One that has ended is left alone, whatever the stable side has been given since: who put another
            # bundle there meant it.
            ended = state.phase in ENDED and candidate == state.candidate_uri
            if unfinished or ended or (stable, candidate) == known:
                return record, state
        if stable == candidate:
            return record, None
        self._check_store(candidate)
        now, before = self._clock(), self._cluster.weight()
        begun = State(
            phase="progressing",
            stable_uri=stable,
            candidate_uri=candidate,
            began=now,
            weight_before=before,
            phase_began=now,
        )
        by = order.by if order.command == "restart" else "rollout"
        weight = self._config.steps[0].weight
        begun = begun.entered("progressing", now, f"{candidate} instead of {stable}", by, weight, 0)
        return self._recorder.write(record, begun, "Begun", answered=order.command == "restart"), begun

    def _check_store(self, candidate: str) -> None:
        """A promotion that could not go on record is not begun.

        Raises:
            InputError: the bundle is not of the store, or was never published or is retired there.
            Busy: the store does not answer, or lets nobody read.
        """
        if self._store is None:
            return
        version = version_of(candidate)
        if self._store.uri(version) != candidate:
            raise InputError(
                f"InferenceService {self._config.canary}: its bundle {candidate} is not of the store "
                f"{self._config.store}; publish it there, or leave store out of the configuration"
            )
        try:
            known = self._store.index().versions
        except StoreError as error:
            raise Busy(str(error)) from None
        if version not in known or known[version].retired:
            raise InputError(
                f"InferenceService {self._config.canary}: store {self._config.store} has no version "
                f"{version}; `higr bundle list` shows what is there"
            )

    def _keep_time(self, record: Record, state: State, order: Order) -> tuple[Record, State]:
        """A pause takes nothing from the time that a step has."""
        pause = order.command == "pause"
        if pause == bool(state.paused) or state.phase in ENDED:
            return record, state
        now = self._clock()
        kept = state.model_copy(update={"paused": now}) if pause else state.unpaused(now)
        return self._recorder.write(record, kept, None), kept

    def _obey(self, record: Record, state: State, order: Order) -> tuple[Record, State]:
        """What a person ordered. It is done once, and the key is back at auto."""
        if order.command not in COMMANDS or order.command in ("auto", "pause", "restart"):
            return record, state
        phase = {"promote": "promoting", "roll-back": "reverting", "resume": "progressing"}[order.command]
        if state.phase in ENDED or (order.command == "resume" and state.phase != "held"):
            return self._recorder.write(record, state, None, answered=True), state
        weight = state.weight(self._config)
        obeyed = state.entered(phase, self._clock(), order.reason, order.by, weight, state.step)  # type: ignore[arg-type]
        if order.command == "resume":  # the time of the step begins anew, what was counted in it stays
            obeyed = obeyed.model_copy(update={"step_began": self._clock()})
        return self._recorder.write(record, obeyed, order.command.title(), answered=True), obeyed

    def _judge(self, record: Record, state: State) -> tuple[Record, State]:
        now = self._clock()
        seconds = now - state.step_began
        try:
            look = self._measure(state.looked, now - BEHIND)
        except Unavailable as error:
            decision = out_of_time(self._config, state.step, seconds, str(error))
        else:
            state, fault = self._add(state, look, now)
            findings = judge(self._config, state.counted, [s.counted for s in state.strata])
            state = state.model_copy(update={"findings": tuple(findings)})
            slates = state.counted.slates("canary")
            decision = decide(self._config, state.step, seconds, slates, findings)
            lacking = "" if decision.verdict == "roll-back" else look.lacking
            if fault or lacking:
                decision = out_of_time(self._config, state.step, seconds, fault or lacking)
        return self._settle(record, state.judged(decision), decision, now)

    def _add(self, state: State, look: Look, now: float) -> tuple[State, str]:
        """The state with what was counted, where both sides are who they were; else what is wrong."""
        known = {"stable": state.stable_version, "canary": state.candidate_version}
        for side in SIDES:
            found = look.versions[side]
            if len(found) != 1 or found != {known[side] or next(iter(found))}:
                listed = ", ".join(sorted(found)) or "none"
                return state, f"the {side} side serves other bundles than the one it began with: {listed}"
        versions = {side: next(iter(look.versions[side])) for side in SIDES}
        if versions["stable"] == versions["canary"]:
            return state, f"both sides serve bundle {versions['stable']}: there is nothing to compare"
        if look.settled:
            state = state.with_outcomes(Counted(means=look.counted.means), look.settled)
        update = {
            "stable_version": versions["stable"],
            "candidate_version": versions["canary"],
            "counted": state.counted + Counted(rates=look.counted.rates),
            "looked": now - BEHIND,
        }
        return state.model_copy(update=update), ""

    def _settle(self, record: Record, state: State, decision: Decision, now: float) -> tuple[Record, State]:
        """Write what was decided; nothing is done yet."""
        weight = state.weight(self._config)
        if decision.verdict == "roll-back":
            state = state.entered("reverting", now, decision.why, "rollout", 0, state.step)
        elif state.phase == "held":
            state = state.model_copy(update={"verdict": "hold"})
        elif decision.verdict == "promote":
            state = state.entered("promoting", now, decision.why, "rollout", weight, state.step)
        elif decision.verdict == "advance":
            state = state.advanced(self._config, now, decision.why)
        elif decision.over:
            state = state.entered("held", now, decision.why, "rollout", weight, state.step)
            return self._recorder.write(record, state, "Held"), state
        return self._recorder.write(record, state, None), state
