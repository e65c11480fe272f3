"""What is kept of a user's events between requests, and what further events make of it.

It is the state behind a context: enough of the past that old state and new events give the very context
that `HistoryIndex` would read off the whole log, in whatever order the events come.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

import numpy as np

from higr.config import DataConfig
from higr.data.conform import EARLIEST_MS
from higr.data.levels import feedback_level
from higr.data.schemas import Feedback

EXPOSED_ITEMS = 100
"""Distinct items that a user was lately shown and that are kept."""
NO_POSITION = 32_767
"""Of an event that names none; behind all others, as tables sort it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS = ("watch_seconds", "duration_seconds", "rating")


class Seen(NamedTuple):
    """One event. The order of its fields is the order of a history: as `LABELLED_EVENTS` is sorted.

    Attributes:
        time: milliseconds, UTC.
        feedback: a `Feedback` level.
    """

    time: int
    position: int
    item_id: str
    feedback: int

    @classmethod
    def of(
        cls, event: Mapping[str, Any], durations: Mapping[str, float | None], config: DataConfig
    ) -> "Seen | None":
        """An event as training would see it; None for one that validation puts aside.

        Args:
            event: fields of `EVENTS`; one that is absent is null. The timestamp has its zone.
            durations: seconds, of every item that is known.
        """
        time = (event["timestamp"] - _EPOCH) // timedelta(milliseconds=1)
        item_id = event["item_id"]
        if item_id not in durations or time < EARLIEST_MS or not all(map(_is_real, map(event.get, _NUMBERS))):
            return None
        position = event.get("position")
        level = feedback_level(event, durations[item_id], config.engagement)
        return cls(time, NO_POSITION if position is None else position, item_id, int(level))


class Shown(NamedTuple):
    """When an item was shown last. time: milliseconds, UTC."""

    time: int
    item_id: str


@dataclass(frozen=True, slots=True)
class Recent:
    """Attributes:
    events: of the context, oldest first.
    exposed: distinct items shown, whatever came of it, the one shown last at the end.
    """

    events: tuple[Seen, ...] = ()
    exposed: tuple[Shown, ...] = ()

    def extended(self, events: Iterable[Seen], config: DataConfig) -> Self:
        """With further events. Of those of one item and one moment the first counts."""
        known: dict[tuple[int, str], Seen] = {}
        for event in (*self.events, *events):
            known.setdefault((event.time, event.item_id), event)
        latest: dict[str, int] = {shown.item_id: shown.time for shown in self.exposed}
        for time, item_id in known:
            latest[item_id] = max(time, latest.get(item_id, time))
        exposed = sorted(Shown(time, item_id) for item_id, time in latest.items())
        return type(self)(_within_reach(sorted(known.values()), config), tuple(exposed[-EXPOSED_ITEMS:]))

    def columns(self) -> dict[str, list[Any]]:
        """Columns of the view `user_context`, by name."""
        return {
            "context_item_ids": [event.item_id for event in self.events],
            "context_feedback": [event.feedback for event in self.events],
            "context_times": [event.time for event in self.events],
            "context_positions": [event.position for event in self.events],
            "exposed_item_ids": [shown.item_id for shown in self.exposed],
            "exposed_times": [shown.time for shown in self.exposed],
        }

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any]]) -> Self:
        """What `columns` took apart.

        Raises:
            KeyError, ValueError: columns are missing, or of different lengths.
        """
        events = zip(
            columns["context_times"],
            columns["context_positions"],
            columns["context_item_ids"],
            columns["context_feedback"],
            strict=True,
        )
        exposed = zip(columns["exposed_times"], columns["exposed_item_ids"], strict=True)
        return cls(tuple(Seen(*event) for event in events), tuple(Shown(*shown) for shown in exposed))


def _within_reach(events: Sequence[Seen], config: DataConfig) -> tuple[Seen, ...]:
    """The last events of any kind, and before them what of the last engaged ones is not among these."""
    start = max(0, len(events) - config.history_exposed)
    engaged = [place for place, event in enumerate(events) if event.feedback >= Feedback.ENGAGED]
    earlier = [place for place in engaged[-config.history_engaged :] if place < start]
    return (*(events[place] for place in earlier), *events[start:])


def _is_real(value: float | None) -> bool:
    """As the 32-bit float of the tables."""
    with np.errstate(over="ignore"):
        return value is None or bool(np.isfinite(np.float32(value)))
