"""Variety of a slate as served, by hand and as evaluation has it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from higr.evaluation.metrics import intra_list_diversity
from serving.schemas import Item
from serving.variety import category_diversity, prefix_share


def items(categories: list[str], firsts: list[int]) -> list[Item]:
    return [
        Item(
            item_id=f"i{place}",
            position=place + 1,
            score=0.0,
            semantic_id=[first, place],
            title=None,
            category=category,
            duration_seconds=None,
            disclosure=None,
        )
        for place, (category, first) in enumerate(zip(categories, firsts, strict=True))
    ]


def test_by_hand() -> None:
    slate = items(["a", "a", "b"], [7, 7, 3])
    assert category_diversity(slate) == pytest.approx(2 / 3)
    assert prefix_share(slate) == pytest.approx(2 / 3)
    assert category_diversity(items(["a", "b"], [1, 2])) == 1
    assert prefix_share(items(["a", "b"], [1, 2])) == 0.5
    assert (category_diversity(items(["a"] * 4, [1] * 4)), prefix_share(items(["a"] * 4, [1] * 4))) == (0, 1)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=12))
def test_diversity_is_what_evaluation_measures(codes: list[int]) -> None:
    slate = items([str(code) for code in codes], codes)
    assert category_diversity(slate) == pytest.approx(intra_list_diversity(np.array([codes]))[0])
