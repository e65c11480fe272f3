"""Stability by hand, against all renamings, and against scikit-learn."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from higr.errors import InputError
from higr.tokenizer.stability import measure_stability


def test_by_hand() -> None:
    """Level 1 is renamed 0 <-> 1 but for the last item; level 2 is the same but for the first."""
    first = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    second = np.array([[1, 1], [1, 1], [0, 0], [1, 1]])
    stability = measure_stability(first, second)
    assert stability.levels == (0.75, 0.75)
    assert stability.prefixes == (0.75, 0.5)


def test_renamed_codewords_are_the_same_ids() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(8, size=(500, 3))
    renamed = np.column_stack([rng.permutation(8)[level] for level in codes.T])
    stability = measure_stability(codes, renamed)
    assert stability.levels == stability.prefixes == stability.rand == (1.0, 1.0, 1.0)


def test_chance_is_rand_zero() -> None:
    rng = np.random.default_rng(0)
    stability = measure_stability(rng.integers(4, size=(5000, 2)), rng.integers(4, size=(5000, 2)))
    assert stability.rand == pytest.approx((0.0, 0.0), abs=0.01)
    assert stability.levels[0] < 0.35


def test_other_items_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(3, 2\) and \(2, 2\); encode the same items"):
        measure_stability(np.zeros((3, 2), int), np.zeros((2, 2), int))


@st.composite
def two_trainings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size, depth, count = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 25))
    code = st.lists(st.integers(0, size - 1), min_size=depth, max_size=depth)
    codes = st.lists(code, min_size=count, max_size=count)
    return np.array(draw(codes)), np.array(draw(codes))


@settings(max_examples=60, deadline=None)
@given(two_trainings())
def test_against_all_renamings_and_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = case
    stability = measure_stability(first, second)
    size = int(max(first.max(), second.max())) + 1
    for level in range(first.shape[1]):
        best = max(
            np.mean(np.array(names)[first[:, level]] == second[:, level])
            for names in permutations(range(size))
        )
        assert stability.levels[level] == pytest.approx(best)
        one, two = ([str(code) for code in codes[:, : level + 1].tolist()] for codes in (first, second))
        assert stability.rand[level] == pytest.approx(adjusted_rand_score(one, two))
