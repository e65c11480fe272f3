"""Making the cluster what the state says: weights, bundles, the store's record.

Everything here may be done again: what is done already is found so. Weights go away from the canary before
all else when it is rolled back.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from higr.errors import StoreError
from serving.rollout.cluster import Cluster, Record
from serving.rollout.config import RolloutConfig
from serving.rollout.measure import BEHIND, Measure
from serving.rollout.prometheus import Unavailable
from serving.rollout.recorder import Recorder
from serving.rollout.state import State, Stratum

if TYPE_CHECKING:  # a store reads bundles, and for that all of torch
    from higr.store.store import BundleStore

Moved = tuple[Record, State, str]
"""The record and the state as they are written; and what is waited for, empty where nothing is."""


class Moves:
    """Args:
    store: where a promotion is recorded; None: nowhere but in the cluster.
    """

    def __init__(
        self,
        config: RolloutConfig,
        cluster: Cluster,
        measure: Measure,
        store: "BundleStore | None",
        recorder: Recorder,
        clock: Callable[[], float],
    ) -> None:
        self._config, self._cluster, self._measure = config, cluster, measure
        self._store, self._record, self._clock = store, recorder.write, clock

    def carry_out(self, record: Record, state: State) -> Moved:
        """Whatever is not done yet."""
        if state.phase in ("progressing", "held"):
            return self._step(record, state)
        if state.phase == "promoting":
            return self._promote(record, state)
        if state.phase == "reverting":
            return self._revert(record, state)
        return record, state, ""

    def _step(self, record: Record, state: State) -> Moved:
        wanted, now = state.weight(self._config), self._clock()
        found = self._cluster.weight()
        if not state.step_began and not self._cluster.ready(self._config.canary):
            return self._wait(record, state, f"InferenceService {self._config.canary} is not ready")
        if found != wanted:
            if state.step_began or found != state.weight_before:
                foreign = (
                    f"somebody moved the weights of HTTPRoute {self._config.name} to {100 - found}/{found}, "
                    f"the rollout had {100 - wanted}/{wanted}: put them back, or set command to promote, "
                    "roll-back or restart"
                )
                return record, state, foreign
            self._cluster.set_weight(wanted, found)
        if state.step_began:
            return record, state, ""
        strata = state.strata
        if len(strata) == state.step:
            strata = (*strata, Stratum(began=now))
        update = {"step_began": now, "looked": now - BEHIND, "weight_before": wanted, "strata": strata}
        begun = state.model_copy(update=update)
        return self._record(record, begun, "Step"), begun, f"step {state.step + 1} begins at {wanted} %"

    def _promote(self, record: Record, state: State) -> Moved:
        self._serve(state.candidate_uri)
        try:
            waits = self._not_served_yet(state)
        except Unavailable as error:  # says nothing about the bundle: no reason to take it back
            return record, state, str(error)
        if waits:
            return self._wait(record, state, waits)
        found = self._cluster.weight()
        if found:
            self._cluster.set_weight(0, found)
        if self._store is not None:
            try:
                self._store.promote(version_of(state.candidate_uri), state.by, state.why)
            except StoreError as error:
                return record, state, f"served, but not on record yet: {error}"
        done = state.entered("promoted", self._clock(), state.why, state.by, 0, state.step)
        return self._record(record, done, "Promoted"), done, ""

    def _wait(self, record: Record, state: State, waits: str) -> Moved:
        """For a side to be ready; not for ever."""
        if self._clock() - state.phase_began <= self._config.ready_seconds:
            return record, state, waits
        why = f"{waits}, after more than {self._config.ready_seconds:g} seconds"
        gave_up = state.entered("reverting", self._clock(), why, "rollout", 0, state.step)
        return self._revert(self._record(record, gave_up, None), gave_up)

    def _not_served_yet(self, state: State) -> str:
        """What the stable side lacks to serve the promoted bundle; empty: nothing.

        Raises:
            Unavailable: Prometheus cannot tell.
        """
        if not self._cluster.ready(self._config.name):
            return f"InferenceService {self._config.name} is not ready with {state.candidate_uri}"
        versions = self._measure.versions("stable", self._clock() - BEHIND)
        # Promoted by hand before anything was measured, the name says it, where it is that of a store.
        due = state.candidate_version or (version_of(state.candidate_uri) if self._store else "")
        if not due:
            return "" if len(versions) == 1 else f"the stable side serves {len(versions)} bundles"
        if versions != {due}:
            return f"the stable side serves {', '.join(sorted(versions)) or 'nothing'} still"
        return ""

    def _revert(self, record: Record, state: State) -> Moved:
        found = self._cluster.weight()
        if found:
            self._cluster.set_weight(0, found)
        self._serve(state.stable_uri)
        done = state.entered("rolled-back", self._clock(), state.why, state.by, 0, state.step)
        return self._record(record, done, "RolledBack"), done, ""

    def _serve(self, uri: str) -> None:
        """The stable side's bundle, and the memory of it: whichever of the two is not done yet."""
        if self._cluster.bundle(self._config.name) != uri:
            self._cluster.set_bundle(self._config.name, uri)
        self._cluster.remember_bundle("stable", uri)


def version_of(uri: str) -> str:
    """Of a bundle in a store: the last part of its URI."""
    return uri.rstrip("/").rpartition("/")[2]
