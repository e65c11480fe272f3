"""Batches here take 10 ms a request, whatever their size. Run: pytest tests/decode/test_admission.py"""

import pytest

from higr.config import BatchConfig
from higr.decode.admission import HOLD_SECONDS, Admission
from higr.decode.decode_time import DecodeTime
from higr.decode.schedule import Turn, enqueue

TIME = DecodeTime()
TIME.observe(1, 10, 0.01)


def turn(deadline: float) -> Turn:
    return Turn(10, 0.0, deadline, deadline - 0.01)


def queued(*deadlines: float) -> list[Turn]:
    queue: list[Turn] = []
    for deadline in deadlines:
        enqueue(queue, turn(deadline))
    return queue


def refusal(
    admission: Admission, deadline: float, queue: list[Turn], now: float = 0.0, free_at: float | None = None
) -> tuple[str, str] | None:
    error = admission.refusal(turn(deadline), queue, now, free_at)
    return None if error is None else (error.reason, str(error))


def reason(answer: tuple[str, str] | None) -> str | None:
    return None if answer is None else answer[0]


def test_a_full_queue_takes_nobody() -> None:
    admission = Admission(TIME, BatchConfig(max_waiting=2))
    assert refusal(admission, 9.0, queued(8)) is None
    assert refusal(admission, 9.0, queued(8, 8)) == (
        "queue_full",
        "2 requests wait, as many as max_waiting allows; send fewer, or add a replica",
    )


@pytest.mark.parametrize(
    ("free_at", "ahead", "deadline", "accepted"),
    [
        (None, [], 0.011, True),
        (None, [], 0.009, False),
        (0.05, [], 0.061, True),
        (0.05, [], 0.059, False),
        (-1.0, [], 0.011, True),  # the running batch takes longer than expected
        (None, [0.025, 0.025], 0.041, True),  # the two ahead, who have no time for a third, then this one
        (None, [0.025, 0.025], 0.029, False),
    ],
)
def test_it_must_be_in_time_behind_those_ahead(
    free_at: float | None, ahead: list[float], deadline: float, accepted: bool
) -> None:
    answer = refusal(Admission(TIME, BatchConfig()), deadline, queued(*ahead), free_at=free_at)
    assert reason(answer) == (None if accepted else "no_time")


def test_a_refusal_says_what_it_takes_and_what_to_do() -> None:
    assert refusal(Admission(TIME, BatchConfig()), 0.028, queued(0.045, 0.055), free_at=0.02) == (
        "no_time",
        "with 2 waiting this takes 30 ms, but the deadline is in 28 ms; "
        "allow more time, send fewer, or add a replica",
    )


def test_nobody_accepted_before_is_made_late() -> None:
    admission = Admission(TIME, BatchConfig(max_batch=1))
    assert refusal(admission, 0.015, queued(0.025, 0.06)) is None  # 10, 20 and 30 ms: all are in time
    assert refusal(admission, 0.015, queued(0.019, 0.06)) == (
        "no_time",
        "in time for its deadline in 15 ms this makes 1 of 2 waiting requests late; "
        "allow more time, send fewer, or add a replica",
    )


def test_who_would_be_late_anyway_stands_in_nobodys_way() -> None:
    assert refusal(Admission(TIME, BatchConfig(max_batch=1)), 0.015, queued(0.016, 0.017)) is not None
    admission = Admission(TIME, BatchConfig(max_batch=1))
    assert refusal(admission, 0.035, queued(0.011, 0.012, 0.08)) is None


def test_a_batch_to_come_counts_as_large_as_what_came_during_the_last() -> None:
    admission = Admission(TIME, BatchConfig(max_batch=4))
    assert refusal(admission, 0.045, [], free_at=0.03) is None  # 10 ms after 30
    for _ in range(3):
        refusal(admission, 9.0, [], free_at=0.03)
    admission.batch_begins()
    assert refusal(admission, 0.065, [], free_at=0.03) is not None  # 40 ms after 30
    assert refusal(admission, 0.075, [], free_at=0.03) is None
    admission.batch_begins()
    admission.batch_begins()
    assert refusal(admission, 0.045, [], free_at=0.03) is None


def test_once_one_with_less_time_was_refused_the_patient_are_held_to_it() -> None:
    admission = Admission(TIME, BatchConfig(max_batch=1))
    four = queued(0.041, 0.041, 0.041, 0.041)
    assert refusal(admission, 0.5, four) is None  # done after 50 ms
    assert reason(refusal(admission, 0.045, four)) == "no_time"  # an empty queue would have served it
    assert reason(refusal(admission, 0.5, four)) == "fair_share"
    assert refusal(admission, 0.5, four[1:]) is None  # done after 40 ms
    assert refusal(admission, 0.5 + HOLD_SECONDS, four, now=HOLD_SECONDS) is None


def test_one_whom_an_empty_queue_would_not_serve_either_holds_nobody() -> None:
    admission = Admission(TIME, BatchConfig(max_batch=1))
    assert refusal(admission, 0.005, queued(0.5)) is not None
    assert refusal(admission, 0.5, queued(0.05, 0.05, 0.05, 0.05)) is None
