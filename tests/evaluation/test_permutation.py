"""Sign flips against enumeration, and Holm by hand."""

import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.evaluation import permutation
from higr.evaluation.permutation import holm, sign_flip


def test_doctests() -> None:
    result = doctest.testmod(permutation)
    assert result.attempted > 0
    assert result.failed == 0


def test_no_difference_is_no_evidence() -> None:
    assert sign_flip(np.zeros((6, 2)), list("aabbcc"), 200, 0).tolist() == [1, 1]


def test_a_constant_shift_is_as_unlikely_as_all_signs_alike() -> None:
    users = [str(i) for i in range(40)]
    assert sign_flip(np.full((40, 1), 0.1), users, 999, 0) == pytest.approx([1 / 1000])
    assert sign_flip(np.full((40, 1), -0.1), users, 999, 0) == pytest.approx([1 / 1000])


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=6), st.integers(0, 100))
def test_close_to_all_flips_enumerated(totals: list[int], seed: int) -> None:
    observed = abs(sum(totals))
    flips = [
        sum(s * t for s, t in zip(signs, totals, strict=True))
        for signs in itertools.product((-1, 1), repeat=len(totals))
    ]
    exact = np.mean([abs(value) >= observed for value in flips])
    got = sign_flip(np.array(totals, float)[:, None] / 7, [str(i) for i in range(len(totals))], 4000, seed)
    assert got[0] == pytest.approx(exact, abs=0.04)


def test_slates_of_one_user_flip_together() -> None:
    # two users, each with many slates: half of the four flips are as far out, however many slates
    values = np.full((100, 1), 0.5)
    users = ["a"] * 50 + ["b"] * 50
    assert sign_flip(values, users, 4000, 0)[0] == pytest.approx(0.5, abs=0.03)


def test_undefined_values_do_not_count_and_columns_are_by_themselves() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.2, 1, size=(60, 2))
    values[::3, 1] = np.nan
    users = [str(i) for i in range(60)]
    kept = ~np.isnan(values[:, 1])
    alone = sign_flip(np.nan_to_num(values[:, [1]]), users, 500, 3)
    assert sign_flip(values, users, 500, 3)[1] == alone[0]
    fewer = sign_flip(values[kept][:, [1]], [u for u, k in zip(users, kept, strict=True) if k], 4000, 3)
    assert fewer[0] == pytest.approx(alone[0], abs=0.08)


def test_holm_never_below_the_p_value_nor_above_bonferroni() -> None:
    p_values = [0.001, 0.2, 0.012, 0.9, 0.012]
    adjusted = holm(p_values)
    assert adjusted == pytest.approx([0.005, 0.4, 0.048, 0.9, 0.048])
    assert holm([0.03]) == [0.03]
    assert holm([]) == []
