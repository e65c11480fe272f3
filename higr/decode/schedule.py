"""Which waiting requests are decoded next, and when each will be done.

Those who must start first come first: by their deadline less the time they take alone. Among slates of
one size that is the earliest deadline first, and the order of arrival among equals. By the deadline
alone a long slate would come to the front once it is too late for it, and starve among short ones.

A batch is decoded to its longest slate, so slates of very different sizes do not share one
(`BatchConfig.max_stretch`). Not reported by the paper.
"""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from higr.config import BatchConfig
from higr.decode.decode_time import DecodeTime


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A place in the queue. Moments are seconds of one clock.

    Attributes:
        size: M of the slate.
        start_by: the latest start from which it is expected to be in time; orders the queue.
    """

    size: int
    arrived: float
    deadline: float
    start_by: float


T = TypeVar("T", bound=Turn)


def enqueue(queue: list[T], turn: T) -> None:
    """Put a turn into a queue in order."""
    insort(queue, turn, key=lambda turn: turn.start_by)


def cut(queue: Sequence[T], start: float, time: DecodeTime, config: BatchConfig) -> tuple[list[T], list[T]]:
    """The batch to decode at `start`, and the rest of the queue, in order.

    The first of the queue is in it. Another joins where that makes nobody in the batch late, and
    stretches nobody's slate beyond `max_stretch`.
    """
    batch: list[T] = [queue[0]]
    rest: list[T] = []
    shortest = longest = queue[0].size
    deadline = queue[0].deadline
    for place in range(1, len(queue)):
        if len(batch) == config.max_batch:
            rest.extend(queue[place:])
            break
        turn = queue[place]
        low, high = min(shortest, turn.size), max(longest, turn.size)
        tightest = min(deadline, turn.deadline)
        if high > config.max_stretch * low or start + time.safe(len(batch) + 1, high) > tightest:
            rest.append(turn)
            continue
        batch.append(turn)
        shortest, longest, deadline = low, high, tightest
    return batch, rest


def plan(
    queue: Sequence[T], start: float, time: DecodeTime, config: BatchConfig
) -> Iterator[tuple[list[T], float]]:
    """The batches to come and their latest starts, if nobody else arrives."""
    rest = list(queue)
    while rest:
        batch, rest = cut(rest, start, time, config)
        yield batch, start
        start += time.safe(len(batch), longest(batch))


def longest(batch: Sequence[Turn]) -> int:
    """Positions that a batch is decoded to."""
    return max(turn.size for turn in batch)


def late(queue: Sequence[T], start: float, time: DecodeTime, config: BatchConfig) -> set[T]:
    """Those of a queue who may miss their deadline."""
    return {
        turn
        for batch, begin in plan(queue, start, time, config)
        for turn in batch
        if begin + time.safe(len(batch), longest(batch)) > turn.deadline
    }
