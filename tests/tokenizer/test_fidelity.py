"""What codes keep of the content, against the definitions written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.tokenizer import fidelity
from higr.tokenizer.fidelity import measure_fidelity, nearest_rows


def unit(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    rows = rng.normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 2**31), st.integers(2, 70))
def test_against_brute_force(count: int, size: int, seed: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    content, codes = unit(rng, count, 6), rng.integers(size, size=(count, 3))
    errors = rng.uniform(size=count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "BLOCK", block)
        found = measure_fidelity(content, codes, errors)
    likeness = content @ content.T
    np.fill_diagonal(likeness, -np.inf)
    nearest = np.argsort(-likeness, axis=1)[:, : min(10, count - 1)]
    for depth in (1, 2, 3):
        share = np.mean(
            [
                any((codes[row, :depth] == codes[n, :depth]).all() for n in nearest[row])
                for row in range(count)
            ]
        )
        assert found.neighbours[depth - 1] == pytest.approx(share)
    assert found.asked == count
    variance = ((content - content.mean(axis=0)) ** 2).sum(axis=1).mean()
    if count > 1:
        assert found.explained_variance == pytest.approx(1 - errors.mean() / variance, rel=1e-3)


def test_equal_content_is_counted_and_bounds_collision() -> None:
    rng = np.random.default_rng(0)
    content = unit(rng, 6, 4)[[0, 1, 1, 2, 2, 2, 3, 4]]
    content[2] += 1e-7  # rounding of arithmetic, not content
    found = measure_fidelity(content, np.zeros((8, 2), int), np.zeros(8))
    assert found.identical == 5
    assert found.collision_floor == pytest.approx(3 / 8)
    assert found.explained_variance == pytest.approx(1.0)


def test_content_that_is_all_the_same_explains_nothing() -> None:
    found = measure_fidelity(np.tile(np.float32([0.6, 0.8]), (5, 1)), np.zeros((5, 2), int), np.zeros(5))
    assert found.explained_variance is None
    assert (found.identical, found.collision_floor) == (5, 0.8)


def test_items_without_content_are_not_asked() -> None:
    content = np.float32([[1, 0], [0.9, 0.1], [0, 0]])
    found = measure_fidelity(content, np.array([[0, 0], [0, 1], [1, 0]]), np.zeros(3))
    assert (found.asked, found.empty) == (2, 1)
    assert found.neighbours == (1.0, 0.0)
    assert measure_fidelity(np.zeros((3, 2), np.float32), np.zeros((3, 2), int), np.zeros(3)).asked == 0


def test_a_sample_is_asked_where_all_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "COMPARISONS", 400 * 50)
    monkeypatch.setattr(fidelity, "LEAST", 20)
    content = unit(np.random.default_rng(0), 400, 4)
    found = measure_fidelity(content, np.zeros((400, 2), int), np.zeros(400))
    assert found.asked == 50
    assert found.neighbours == (1.0, 1.0)


def test_fewer_rows_than_neighbours_leave_places_empty() -> None:
    rows = nearest_rows(np.eye(3, dtype=np.float32), np.array([1]), 4)
    assert sorted(rows[0].tolist()) == [-1, -1, 0, 2]
