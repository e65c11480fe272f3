"""Metrics by hand, by doctest, and against torchmetrics."""

import doctest
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_recall,
)

from higr.data.schemas import SLATES
from higr.evaluation import metrics
from higr.evaluation.judge import Logged, slate_values
from higr.slate import Slate
from tests.baseline.worlds import slate_row, table

ITEMS = [f"i{i}" for i in range(9)]


def values(
    generated: list[str], shown: list[str], feedback: list[int], strength: list[float], k: int
) -> dict:
    row = slate_row(0, "u", 0, shown, feedback) | {"strength": strength}
    slate = Slate(tuple(generated), tuple(float(-i) for i in range(len(generated))))
    category = {item: int(item[1:]) % 3 for item in ITEMS}
    found = slate_values([slate], Logged.of(table(SLATES, [row])), category, k)
    return {name.split("@")[0]: float(value[0]) for name, value in found.items()}


def test_doctests() -> None:
    result = doctest.testmod(metrics, extraglobs={"np": np})
    assert result.attempted >= 6
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
