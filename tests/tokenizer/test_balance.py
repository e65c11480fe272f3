"""Popularity balance by hand and against the mean difference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from higr.tokenizer.balance import measure_popularity


def test_by_hand() -> None:
    popularity = measure_popularity(np.array([0, 0, 1, 3]), np.array([2, 1, 1, 0]), 4)
    assert popularity is not None
    assert popularity.busiest == 0.75  # codes have 3, 1, 0, 0
    assert popularity.gini == pytest.approx(0.625)
    assert popularity.perplexity == pytest.approx(np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))))


def test_an_even_spread() -> None:
    popularity = measure_popularity(np.arange(8), np.full(8, 3), 8)
    assert popularity is not None
    assert (popularity.busiest, popularity.gini) == (0.125, pytest.approx(0.0))
    assert popularity.perplexity == pytest.approx(8.0)


def test_no_engagement_is_no_balance() -> None:
    assert measure_popularity(np.array([0, 1]), np.array([0, 0]), 2) is None


@given(st.lists(st.integers(0, 20), min_size=1, max_size=12).filter(any))
def test_gini_is_half_the_relative_mean_difference(load: list[int]) -> None:
    popularity = measure_popularity(np.arange(len(load)), np.array(load), len(load))
    assert popularity is not None
    difference = np.mean([abs(one - two) for one in load for two in load])
    assert popularity.gini == pytest.approx(difference / 2 / np.mean(load))
