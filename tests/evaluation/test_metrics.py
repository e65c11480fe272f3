"""Metrics by hand, by doctest, and against torchmetrics."""

import doctest
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_recall,
)

from higr.data.schemas import SLATES
from higr.evaluation import metrics
from higr.evaluation.facts import Background, ItemFacts
from higr.evaluation.judge import Logged, slate_values
from higr.slate import Slate
from tests.baseline.worlds import slate_row, table

ITEMS = [f"i{i}" for i in range(9)]
FACTS = ItemFacts({item: i for i, item in enumerate(ITEMS)}, np.arange(9) % 3, {}, None)

codes = arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.integers(-1, 4))
"""(S, k) with -1 for what is not there."""


def values(
    generated: list[str], shown: list[str], feedback: list[int], strength: list[float], k: int
) -> dict:
    row = slate_row(0, "u", 0, shown, feedback) | {"strength": strength}
    slate = Slate(tuple(generated), tuple(float(-i) for i in range(len(generated))))
    found = slate_values([slate], Logged.of(table(SLATES, [row])), FACTS, k)
    return {name.split("@")[0]: float(value[0]) for name, value in found.items()}


def test_doctests() -> None:
    result = doctest.testmod(metrics, extraglobs={"np": np})
    assert result.attempted >= 10
    assert result.failed == 0


def test_by_hand() -> None:
    got = values(
        generated=["i7", "i1", "i2", "i4"],
        shown=["i0", "i1", "i2"],
        feedback=[3, 2, 1],
        strength=[2.5, 0.5, 0.0],
        k=4,
    )
    second = 1 / math.log2(3)
    assert got["impression_hit"] == 1
    assert got["effective_view_hit"] == 1
    assert got["recall"] == 0.5
    assert got["ndcg"] == pytest.approx(0.5 * second / (2.5 + 0.5 * second))
    assert got["ndcg_binary"] == pytest.approx(second / (1 + second))
    assert got["intra_list_diversity"] == pytest.approx(1 - 3 / 6)  # categories 1 1 2 1


@pytest.mark.parametrize(
    ("generated", "shown", "feedback", "expected"),
    [
        (["i1"], ["i1"], [1], {"impression_hit": 1, "effective_view_hit": math.nan, "ndcg": math.nan}),
        (["i2"], ["i1"], [1], {"impression_hit": 0, "recall": math.nan, "ndcg_binary": math.nan}),
        (["i1"], ["i1", "i1"], [2, 1], {"recall": 1, "ndcg": 1, "ndcg_binary": 1}),  # shown twice
        ([], ["i1"], [2], {"impression_hit": 0, "effective_view_hit": 0, "intra_list_diversity": math.nan}),
        (["i1", "i2"], ["i2"], [2], {"recall": 0, "ndcg": 0}),  # only k = 1 counts
    ],
)
def test_edges(generated: list[str], shown: list[str], feedback: list[int], expected: dict) -> None:
    k = 1 if len(generated) == 2 else 3
    got = values(generated, shown, feedback, [float(level >= 2) for level in feedback], k)
    assert {name: got[name] for name in expected} == pytest.approx(expected, nan_ok=True)


@settings(deadline=None, max_examples=30)
@given(
    ranking=st.permutations(ITEMS),
    feedback=st.lists(st.integers(0, 3), min_size=9, max_size=9),
    strength=st.lists(st.floats(0.125, 6, width=32), min_size=9, max_size=9),
    k=st.integers(2, 9),
)
def test_against_torchmetrics(ranking: list[str], feedback: list[int], strength: list[float], k: int) -> None:
    gains = [value if level >= 2 else 0.0 for value, level in zip(strength, feedback, strict=True)]
    got = values(ranking, ITEMS, feedback, gains, k)
    score = torch.tensor([1 / (1 + ranking.index(item)) for item in ITEMS])  # it ignores scores below 0
    engaged = torch.tensor([level >= 2 for level in feedback])
    if not engaged.any():
        assert math.isnan(got["ndcg"])
        assert math.isnan(got["recall"])
        return
    graded = torch.tensor(gains)
    expected = {
        "effective_view_hit": retrieval_hit_rate(score, engaged, top_k=k),
        "recall": retrieval_recall(score, engaged, top_k=k),
        "ndcg_binary": retrieval_normalized_dcg(score, engaged, top_k=k),
        "ndcg": retrieval_normalized_dcg(score, graded, top_k=k),
    }
    assert {name: got[name] for name in expected} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, abs=1e-5
    )
    assert got["impression_hit"] == 1


def test_coverage_counts_each_item_once() -> None:
    assert metrics.catalogue_coverage(np.array([[0, 3], [3, -1], [0, 2]]), 4) == 0.75


@given(codes)
def test_prefix_entropy_is_that_of_the_counts(prefixes: np.ndarray) -> None:
    got = metrics.prefix_entropy(prefixes)
    for row, value in zip(prefixes.tolist(), got, strict=True):
        counts = Counter(code for code in row if code >= 0)
        total = sum(counts.values())
        if total < 2:
            assert math.isnan(value)
            continue
        entropy = -sum(count / total * math.log(count / total) for count in counts.values())
        assert value == pytest.approx(entropy / math.log(total), abs=1e-12)


@given(codes, st.data())
def test_repetition_looks_at_the_slate_before_and_no_other(items: np.ndarray, data: st.DataObject) -> None:
    previous = np.array([data.draw(st.integers(-1, row - 1)) for row in range(len(items))])
    got = metrics.repetition(items, previous)
    for row, value in enumerate(got):
        shown = [item for item in items[row].tolist() if item >= 0]
        if previous[row] < 0 or not shown:
            assert math.isnan(value)
            continue
        before = items[previous[row]].tolist()
        assert value == pytest.approx(sum(item in before for item in shown) / len(shown))


@given(codes.filter(lambda items: (items >= 0).any()))
def test_gini_is_half_the_mean_difference_over_the_mean(items: np.ndarray) -> None:
    counts = np.array([(items == item).sum() for item in range(6)], float)
    pairs = np.abs(counts[:, None] - counts[None, :]).mean()
    assert metrics.gini(items, 6) == pytest.approx(pairs / (2 * counts.mean()))


BACKGROUND = Background({"i0": 6, "i1": 2, "i2": 0}, frozenset({"i0"}), frozenset({"u"}))


def measured_with_background(
    generated: list[list[str]], rows: list[tuple[list[str], list[int]]]
) -> dict[str, list[float]]:
    facts = ItemFacts(
        FACTS.position, FACTS.category, {}, np.array([BACKGROUND.views.get(item, 0) for item in ITEMS], float)
    )
    slates = [Slate(tuple(items), (0.0,) * len(items)) for items in generated]
    logged = table(SLATES, [slate_row(i, "u", i, *row) for i, row in enumerate(rows)])
    found = slate_values(slates, Logged.of(logged), facts, 3, background=BACKGROUND)
    return {name: values.tolist() for name, values in found.items()}


def test_popularity_lift_by_hand() -> None:
    # engaged: (6 + 2) / 2 = 4 in the first slate, 0 in the second, none in the third: a base of 2
    rows = [(["i0", "i1", "i2"], [2, 2, 1]), (["i5"], [3]), (["i0"], [1])]
    got = measured_with_background([["i0"], ["i1", "i7"], []], rows)
    assert got["popularity_lift@3"] == pytest.approx([2.0, -0.5, math.nan], nan_ok=True)


def test_popularity_lift_is_the_published_ratio_of_means() -> None:
    rows = [(["i0", "i1"], [2, 2]), (["i0"], [2])]
    got = measured_with_background([["i0", "i2"], ["i1"]], rows)
    recommended, profile = (6 + 0) / 2 + 2, (6 + 2) / 2 + 6
    assert np.mean(got["popularity_lift@3"]) == pytest.approx(recommended / profile - 1)


def test_no_lift_over_items_that_nobody_viewed() -> None:
    got = measured_with_background([["i0"]], [(["i2", "i8"], [2, 2])])
    assert math.isnan(got["popularity_lift@3"][0])


def test_recall_by_kind_asks_for_the_engaged_items_of_that_kind() -> None:
    rows = [(["i0", "i1", "i2", "i8"], [2, 2, 3, 1]), (["i8", "i7"], [2, 2])]
    got = measured_with_background([["i1", "i0", "i5"], ["i8", "i0", "i3"]], rows)
    assert got["recall_head@3"] == pytest.approx([1, math.nan], nan_ok=True)
    assert got["recall_tail@3"] == pytest.approx([0.5, math.nan], nan_ok=True)
    assert got["recall_cold@3"] == pytest.approx([math.nan, 0.5], nan_ok=True)
