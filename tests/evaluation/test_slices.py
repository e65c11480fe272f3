"""Slices of users and items on a log made by hand."""

import numpy as np
import pytest

from higr.config import EvaluationConfig
from higr.data.schemas import SLATES
from higr.evaluation.compare import Protocol, summary
from higr.evaluation.facts import Background
from higr.evaluation.held_out import HeldOut
from higr.evaluation.slices import slices_of, user_slices
from higr.slate import UserContext
from tests.baseline.worlds import context, events_table, items_table, slate_row, table
from tests.evaluation.worlds import Ordered

CONFIG = EvaluationConfig(k=2, short_history=2, long_history=3, head_share=0.5, exclude_seen=False)
QUICK = Protocol(resamples=100)
ITEMS = items_table({f"i{i}": "x" for i in range(6)})
TRAINING = events_table([("old", "i0", 0, 2), ("old", "i0", 1, 2), ("old", "i1", 2, 1)])
"""i0 is head, i1 tail, all others cold; only `old` is known."""

WORLD = [
    # user, engaged items of the history, exposed, feedback
    ("old", 3, ["i0", "i1"], [2, 1]),
    ("new", 0, ["i0", "i4"], [1, 2]),
    ("old", 2, ["i1", "i4"], [2, 2]),
    ("new", 1, ["i2", "i3"], [1, 0]),
]


def world() -> HeldOut:
    rows = [slate_row(i, user, i, shown, levels, "test") for i, (user, _, shown, levels) in enumerate(WORLD)]
    contexts = [context(user, [("i5", 2)] * engaged + [("i5", 1)] * 9) for user, engaged, _, _ in WORLD]
    return HeldOut.draw(table(SLATES, rows), contexts, ITEMS, CONFIG, 0, training=TRAINING)


def test_users_by_training_and_history() -> None:
    got = {name: inside.tolist() for name, inside in world().slices.items()}
    assert got == {
        "new_users": [False, True, False, True],
        "known_users": [True, False, True, False],
        "short_history": [False, True, False, True],  # below 2; exposures do not count
        "medium_history": [False, False, True, False],
        "long_history": [True, False, False, False],  # 3 and more
    }


def test_without_training_nobody_is_new() -> None:
    got = user_slices([UserContext("u")], CONFIG, None)
    assert set(got) == {"short_history", "medium_history", "long_history"}
    background = Background.of(TRAINING, 0.5)
    assert user_slices([UserContext("u")], CONFIG, background)["new_users"].tolist() == [True]


def test_figures_by_hand() -> None:
    test = world()
    run = test.measure(test.generate("m", Ordered(["i0", "i4"]), 2), 2)
    found = {part.name: part for part in slices_of({"m": [run]}, 2, 1, QUICK)}
    assert [(name, part.slates, part.users) for name, part in found.items()] == [
        ("new_users", 2, 1),
        ("known_users", 2, 1),
        ("short_history", 2, 1),
        ("medium_history", 1, 1),
        ("long_history", 1, 1),
        ("head_items", 1, 1),
        ("tail_items", 1, 1),
        ("cold_items", 2, 2),
    ]

    def mean(part: str, metric: str) -> float:
        return found[part].values["m"][f"{metric}@2"].mean

    assert mean("new_users", "impression_hit") == 0.5
    assert mean("new_users", "recall") == 1  # of the slate that has an engaged item
    assert found["new_users"].values["m"]["recall@2"].slates == 1
    assert mean("known_users", "recall") == pytest.approx((1 + 1 / 2) / 2)
    assert mean("long_history", "ndcg") == 1
    assert mean("head_items", "recall_head") == 1
    assert mean("tail_items", "recall_tail") == 0
    assert mean("cold_items", "recall_cold") == 1


def test_small_and_empty_slices_have_a_count_and_no_figures() -> None:
    test = world()
    run = test.measure(test.generate("m", Ordered(["i0"]), 2), 2)
    found = {part.name: part for part in slices_of({"m": [run]}, 2, 2, QUICK)}
    assert found["known_users"].values
    assert (found["long_history"].slates, found["long_history"].values) == (1, {})
    nobody = {**run.slices, "long_history": np.zeros(4, bool)}
    empty = type(run)(run.slates, run.users, run.values, nobody, run.totals)
    part = {p.name: p for p in slices_of({"m": [empty]}, 2, 1, QUICK)}["long_history"]
    assert (part.slates, part.users, part.values) == (0, 0, {})


def test_a_slice_by_itself_is_the_slice_in_the_table() -> None:
    test = world()
    run = test.measure(test.generate("m", Ordered(["i0", "i4"]), 2), 2)
    part = {p.name: p for p in slices_of({"m": [run]}, 2, 1, QUICK)}["known_users"]
    assert summary([run.within("known_users")], QUICK)["recall@2"] == part.values["m"]["recall@2"]


def test_histories_cannot_be_short_and_long() -> None:
    with pytest.raises(ValueError, match="short_history 5 is above long_history 4"):
        EvaluationConfig(short_history=5, long_history=4)
