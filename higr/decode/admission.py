"""Who is refused on arrival, so that the accepted are in time.

A request is accepted when the plan of all who wait has it in time and makes nobody late who was
accepted before. Under overload two things would go wrong with that alone:

- The first of a batch, accepted with just enough time for a small one, keeps it small, and one small
  batch after another decodes far less than it could. So a batch to come counts as large as the number
  of requests that came during the last one.
- The patient fill the queue as far as their deadlines allow, and those with less time find no place. So
  once one was refused whom an empty queue would have served, everyone is held to the time that one had,
  for `HOLD_SECONDS`: they take turns and are refused by the moment they come, however long they would wait.

Not reported by the paper.
"""

import math
from collections.abc import Sequence

from higr.config import BatchConfig
from higr.decode.decode_time import DecodeTime
from higr.decode.schedule import Turn, enqueue, late, longest, plan
from higr.errors import Overloaded

HOLD_SECONDS = 1.0


class Admission:
    """Args:
    time: what batches take; the owner tells it.
    """

    def __init__(self, time: DecodeTime, config: BatchConfig) -> None:
        self._time, self._config = time, config
        self._came = self._came_before = 0  # requests since the last batch began, and during the one before
        self._held, self._held_until = math.inf, -math.inf

    def batch_begins(self) -> None:
        self._came, self._came_before = 0, self._came

    def start_by(self, size: int, deadline: float, now: float) -> float:
        """The place of a newcomer in the queue: the latest start that is expected to be in time."""
        due = min(deadline, now + self._held) if now < self._held_until else deadline
        return due - self._time.expected(1, size)

    def refusal(
        self, turn: Turn, queue: Sequence[Turn], now: float, free_at: float | None
    ) -> Overloaded | None:
        """Why a newcomer is not accepted; None if it is.

        Args:
            queue: who waits, in order.
            free_at: expected end of the running batch; None: the worker is idle.
        """
        self._came += 1
        waiting, left = len(queue), turn.deadline - now
        if waiting >= self._config.max_waiting:
            return Overloaded(
                "queue_full",
                f"{waiting} requests wait, as many as max_waiting allows; send fewer, or add a replica",
            )
        start = now if free_at is None else max(now, free_at)
        rows = 1 if free_at is None else min(max(self._came, self._came_before), self._config.max_batch)
        joined = list(queue)
        enqueue(joined, turn)
        batch, begin = next(step for step in plan(joined, start, self._time, self._config) if turn in step[0])
        needs = begin - now + self._time.safe(max(rows, len(batch)), longest(batch))
        if needs > left:
            self._hold(turn, now, start, rows)
            return Overloaded(
                "no_time",
                f"with {waiting} waiting this takes {_ms(needs)}, but the deadline is in {_ms(left)}; "
                "allow more time, send fewer, or add a replica",
            )
        if begin > start and now < self._held_until and needs > self._held:
            return Overloaded(
                "fair_share",
                f"with {waiting} waiting this takes {_ms(needs)}, and requests that had {_ms(self._held)} "
                "were refused; send fewer, or add a replica",
            )
        made_late = self._made_late(queue, joined, start) - {turn} if joined[-1] is not turn else ()
        if made_late:
            self._hold(turn, now, start, rows)
            return Overloaded(
                "no_time",
                f"in time for its deadline in {_ms(left)} this makes {len(made_late)} of {waiting} waiting "
                "requests late; allow more time, send fewer, or add a replica",
            )
        return None

    def _made_late(self, queue: Sequence[Turn], joined: Sequence[Turn], start: float) -> set[Turn]:
        before, after = (late(turns, start, self._time, self._config) for turns in (queue, joined))
        return after - before

    def _hold(self, turn: Turn, now: float, start: float, rows: int) -> None:
        """Hold others to the time of one who was refused, if an empty queue would have served it."""
        if start + self._time.safe(rows, turn.size) > turn.deadline:
            return
        left = turn.deadline - now
        self._held = min(self._held, left) if now < self._held_until else left
        self._held_until = now + HOLD_SECONDS


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
