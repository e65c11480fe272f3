"""When a predictor is asked and when not."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.breaker import Breaker, BreakerOpen


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def ask(breaker: Breaker, *, fails: bool) -> str:
    try:
        with breaker.attempt():
            if fails:
                raise ValueError
    except BreakerOpen:
        return "not asked"
    except ValueError:
        return "failed"
    return "answered"


def test_it_opens_after_failures_in_a_row_and_one_tries_for_all() -> None:
    clock = Clock()
    breaker = Breaker(3, 2.0, clock)
    assert [ask(breaker, fails=fails) for fails in (True, True, False, True, True)][-1] == "failed"
    assert breaker.state == "closed"
    assert ask(breaker, fails=True) == "failed"
    assert breaker.state == "open"
    assert ask(breaker, fails=False) == "not asked"
    clock.now += 1.99
    assert ask(breaker, fails=False) == "not asked"
    clock.now += 0.01
    assert ask(breaker, fails=True) == "failed"
    assert ask(breaker, fails=False) == "not asked"
    clock.now += 2
    with breaker.attempt():
        assert breaker.state == "probing"
        assert ask(breaker, fails=False) == "not asked"
    assert breaker.state == "closed"
    assert [ask(breaker, fails=True) for _ in range(3)] == ["failed"] * 3


def test_who_is_cancelled_says_nothing_and_does_not_block_the_next_probe() -> None:
    clock = Clock()
    breaker = Breaker(1, 2.0, clock)
    ask(breaker, fails=True)
    clock.now += 2
    with pytest.raises(asyncio.CancelledError), breaker.attempt():
        raise asyncio.CancelledError
    assert breaker.state == "open"
    assert ask(breaker, fails=False) == "answered"
    assert breaker.state == "closed"


def test_an_answer_to_what_was_asked_before_it_opened_does_not_close_it() -> None:
    breaker = Breaker(1, 2.0, Clock())
    with breaker.attempt():
        ask(breaker, fails=True)
    assert breaker.state == "open"


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=40), st.integers(1, 4))
def test_never_asked_while_open_and_always_after(steps: list[tuple[bool, float]], failures: int) -> None:
    clock = Clock()
    breaker = Breaker(failures, 2.0, clock)
    in_a_row, opened = 0, -10.0
    for fails, pause in steps:
        clock.now += pause
        outcome = ask(breaker, fails=fails)
        if in_a_row >= failures and clock.now - opened < 2.0:
            assert outcome == "not asked"
            continue
        assert outcome == ("failed" if fails else "answered")
        in_a_row = in_a_row + 1 if fails else 0
        opened = clock.now if fails else opened
