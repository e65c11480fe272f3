"""Run: pytest tests/decode/test_schedule.py"""

from hypothesis import given
from hypothesis import strategies as st

from higr.config import BatchConfig
from higr.decode.decode_time import DecodeTime
from higr.decode.schedule import Turn, cut, enqueue, late, longest, plan

TIME = DecodeTime()
TIME.observe(1, 10, 0.02)  # 2 ms a position and request, in proportion


def turn(deadline: float, size: int = 10) -> Turn:
    return Turn(size, 0.0, deadline, deadline - TIME.expected(1, size))


def queued(*turns: Turn) -> list[Turn]:
    queue: list[Turn] = []
    for one in turns:
        enqueue(queue, one)
    return queue


def test_the_earliest_deadline_comes_first_and_equals_by_arrival() -> None:
    a, b, c, d = turn(3), turn(1), turn(3), turn(2)
    assert queued(a, b, c, d) == [b, d, a, c]


def test_a_long_slate_comes_when_it_must_start_and_not_when_it_is_too_late() -> None:
    long, early, later = turn(0.2, size=90), turn(0.03), turn(0.05)  # 180, 20 and 20 ms alone
    assert queued(later, long, early) == [early, long, later]


def test_a_batch_ends_where_another_would_make_one_of_it_late() -> None:
    queue = queued(turn(0.06), turn(0.07), turn(0.2), turn(0.3))
    batch, rest = cut(queue, 0.0, TIME, BatchConfig())
    assert (batch, rest) == (queue[:3], queue[3:])  # three take the 60 ms
    assert cut(queue, 0.01, TIME, BatchConfig())[0] == queue[:2]


def test_slates_of_very_different_sizes_do_not_share_a_batch() -> None:
    queue = queued(turn(1, size=5), turn(2, size=40), turn(3, size=10), turn(4, size=11), turn(5, size=4))
    batch, rest = cut(queue, 0.0, TIME, BatchConfig(max_stretch=2))
    assert [one.size for one in batch] == [5, 10]  # 4 with 10 would be two and a half times stretched
    assert [one.size for one in rest] == [40, 11, 4]


turns = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 40)), min_size=1, max_size=20)


@given(turns, st.integers(1, 5), st.floats(1, 4))
def test_a_batch_is_in_time_and_as_large_as_may_be(
    waiting: list[tuple[float, int]], most: int, stretch: float
) -> None:
    config = BatchConfig(max_batch=most, max_stretch=stretch)
    queue = queued(*(turn(deadline, size) for deadline, size in waiting))

    def allowed(batch: list[Turn]) -> bool:
        sizes = [one.size for one in batch]
        done = TIME.safe(len(batch), max(sizes))
        return (
            len(batch) <= most
            and max(sizes) <= stretch * min(sizes)
            and done <= min(one.deadline for one in batch)
        )

    batch, rest = cut(queue, 0.0, TIME, config)
    assert batch[0] is queue[0]
    assert len(batch) == 1 or allowed(batch)
    assert not any(allowed([*batch, other]) for other in rest)
    assert [one for one in queue if one in batch] == batch
    assert [one for one in queue if one not in batch] == rest


@given(turns)
def test_a_plan_serves_everyone_once_one_batch_after_another(waiting: list[tuple[float, int]]) -> None:
    config = BatchConfig(max_batch=4)
    queue = queued(*(turn(deadline, size) for deadline, size in waiting))
    served, free, in_time = [], 0.5, set()
    for batch, begin in plan(queue, 0.5, TIME, config):
        assert begin == free
        free += TIME.safe(len(batch), longest(batch))
        served += batch
        in_time |= {one for one in batch if free <= one.deadline}
    assert sorted(map(id, served)) == sorted(map(id, queue))
    assert late(queue, 0.5, TIME, config) == set(queue) - in_time
