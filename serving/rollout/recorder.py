"""What is written of a rollout: its state, what a person reads beside it, and Events."""

import time
from collections.abc import Callable

from serving.rollout.cluster import Cluster, Record
from serving.rollout.config import RolloutConfig
from serving.rollout.state import State


class Recorder:
    """Writes to the ConfigMap NAME-rollout."""

    def __init__(self, config: RolloutConfig, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._config, self._cluster, self._clock = config, cluster, clock

    def write(self, record: Record, state: State, event: str | None, *, answered: bool = False) -> Record:
        """The state, whole or not at all; and an Event where one is due.

        Args:
            answered: what was ordered is done: the key is back at auto.

        Raises:
            Busy: the record is not the one that was read any more.
        """
        now = self._clock()
        data = {
            "state": state.model_dump_json(),
            "phase": state.phase,
            "step": f"{state.step + 1} of {len(self._config.steps)}",
            "weight": str(state.weight(self._config)),
            "why": state.why,
            "by": state.by,
            "updated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        }
        if answered:
            data |= {"command": "auto", "reason": "", "ordered-by": ""}
        written = self._cluster.write(record, data)
        if event:
            message = f"{state.candidate_uri} at {data['weight']} %, {state.phase}: {state.why}"
            self._cluster.event(event, message, state.phase in ("rolled-back", "held"))
        return written
