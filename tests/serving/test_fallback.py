"""Whatever a predictor returns, what leaves the ladder holds the contract."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.slate import Slate, UserContext
from serving.ask import Ask, recommend
from serving.fallback import Answer, Ladder, popular_first

CATALOGUE = tuple(f"i{n}" for n in range(8))
CHANCES = "not one propensity an item, above 0 and at most 1"
NAMES = st.sampled_from([*CATALOGUE, "gone", "disabled", ""])
GARBAGE = st.none() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=3)
SLATES = st.builds(
    Slate,
    st.lists(NAMES, max_size=6).map(tuple) | st.lists(GARBAGE, max_size=4).map(tuple) | GARBAGE,
    st.lists(st.floats(), max_size=6).map(tuple) | st.lists(GARBAGE, max_size=4).map(tuple) | GARBAGE,
    st.just(()) | st.lists(st.lists(GARBAGE, max_size=2), max_size=6).map(tuple) | GARBAGE,
)
ASKS = st.builds(
    Ask,
    st.just(UserContext("u")),
    st.integers(1, 10),
    st.frozensets(NAMES, max_size=9),
)


class Says:
    """A recommender that answers with what it is given."""

    def __init__(self, slates: Any) -> None:
        self.slates = slates

    def recommend(
        self,
        contexts: Sequence[UserContext],
        slate_size: int,
        exclude: Sequence[Collection[str]] | None = None,
    ) -> list[Slate]:
        if isinstance(self.slates, Exception):
            raise self.slates
        return self.slates


def ladder_over(baseline: Any, popular: Sequence[str] = ()) -> Ladder:
    return Ladder(baseline, popular_first(CATALOGUE, popular))


def held(answer: Answer, ask: Ask) -> None:
    items = answer.slate.item_ids
    eligible = set(CATALOGUE) - ask.exclude
    assert len(items) == min(ask.slate_size, len(eligible))
    assert len(set(items)) == len(items)
    assert set(items) <= eligible
    assert len(answer.slate.scores) == len(items)


def fall(ladder: Ladder, asks: Sequence[Ask], seconds: float = 5) -> list[Answer]:
    return asyncio.run(ladder.fall(asks, ["why"] * len(asks), seconds))


@settings(max_examples=60, deadline=None)
@given(ask=ASKS, slates=st.lists(SLATES, max_size=2) | GARBAGE)
def test_any_answer_of_the_baseline_ends_in_a_whole_slate(ask: Ask, slates: Any) -> None:
    ladder = ladder_over(Says(slates), ["gone", "i3", "i3", "i1"])
    (answer,) = fall(ladder, [ask])
    held(answer, ask)
    assert answer.reason == "why"
    ladder.close()


@settings(max_examples=200, deadline=None)
@given(ask=ASKS, slate=SLATES)
def test_what_is_found_without_fault_holds_the_contract(ask: Ask, slate: Slate) -> None:
    if ladder_over(Says([])).fault(slate, ask, ask.slate_size) is None:
        held(Answer(slate, "higr", None), ask)


@pytest.mark.parametrize(
    ("slate", "fault"),
    [
        (Slate(("i0", "i1"), (1.0, 0.5)), None),
        (Slate(("i0", "i1"), (1.0, 0.5), ((0, 1), (2, 3))), None),
        (Slate(("i0",), (1.0,)), "1 items and 1 scores where 2 are due"),
        (Slate(("i0", "i1", "i2"), (1.0, 0.5, 0.1)), "3 items and 3 scores where 2 are due"),
        (Slate(("i0", "i1"), (1.0,)), "2 items and 1 scores where 2 are due"),
        (Slate(("i0", "i0"), (1.0, 0.5)), "an item is there twice"),
        (Slate(("i0", "gone"), (1.0, 0.5)), "an item is not eligible"),
        (Slate(("i0", "i7"), (1.0, 0.5)), "an excluded item"),
        (Slate(("i0", "i1"), (1.0, float("nan"))), "a score is not a finite number"),
        (Slate(("i0", "i1"), (1.0, 0.5), ((0, 1),)), "not one semantic ID an item"),
        (Slate(("i0", "i1"), (1.0, 0.5), ((0, 1), (2, -1))), "not one semantic ID an item"),
        (Slate(("i0", "i1"), (1.0, 0.5), ((0, 1), ())), "not one semantic ID an item"),
        (Slate(("i0", "i1"), (1.0, 0.5), (), (1.0, 0.1)), None),
        (Slate(("i0", "i1"), (1.0, 0.5), (), (1.0,)), "not one propensity an item, above 0 and at most 1"),
        (
            Slate(("i0", "i1"), (1.0, 0.5), (), (1.0, 0.0)),
            "not one propensity an item, above 0 and at most 1",
        ),
        (None, "not a slate (AttributeError)"),
    ],
)
def test_fault(slate: Slate, fault: str | None) -> None:
    ask = Ask(UserContext("u"), 2, frozenset({"i7"}))
    assert ladder_over(Says([])).fault(slate, ask, ask.slate_size) == fault


def test_a_sound_baseline_is_served_and_a_failing_one_gives_way_to_popular_items() -> None:
    ask = Ask(UserContext("u"), 2, frozenset({"i3"}))
    sound = Slate(("i5", "i6"), (0.2, 0.1))
    assert fall(ladder_over(Says([sound]), ["i3", "i2"]), [ask]) == [Answer(sound, "baseline", "why")]
    for says in (RuntimeError("boom"), [Slate(("i3", "i6"), (0.2, 0.1))], []):
        (answer,) = fall(ladder_over(Says(says), ["i3", "i2"]), [ask])
        assert (answer.source, answer.slate.item_ids) == ("popular", ("i2", "i0"))


def test_no_time_left_is_popular_items_at_once() -> None:
    (answer,) = fall(ladder_over(Says([Slate(("i5",), (0.2,))])), [Ask(UserContext("u"), 1)], 0)
    assert answer.source == "popular"


def test_warm_up_does_not_hide_a_broken_baseline() -> None:
    with pytest.raises(RuntimeError, match="boom"):
        ladder_over(Says(RuntimeError("boom"))).warm_up(1)


def test_asks_of_several_sizes_keep_their_order() -> None:
    class First:
        def recommend(
            self,
            contexts: Sequence[UserContext],
            slate_size: int,
            exclude: Sequence[Collection[str]] | None = None,
        ) -> list[Slate]:
            return [Slate((c.user_id,) * slate_size, (0.0,) * slate_size) for c in contexts]

    asks = [Ask(UserContext("a"), 1), Ask(UserContext("b"), 2), Ask(UserContext("c"), 1)]
    assert [slate.item_ids for slate in recommend(First(), asks)] == [("a",), ("b", "b"), ("c",)]
