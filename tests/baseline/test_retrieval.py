"""Item-item cosine against a dense computation, and what is merged per context."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.baseline import retrieval
from higr.baseline.histories import Histories
from higr.baseline.items import ItemArrays
from higr.baseline.retrieval import Neighbours
from tests.baseline.worlds import context, items_table


def dense_cosine(users: np.ndarray, items: np.ndarray, size: int) -> np.ndarray:
    audience = np.zeros((int(users.max(initial=0)) + 1, size))
    audience[users, items] = 1
    norm = np.maximum(np.linalg.norm(audience, axis=0), 1e-12)
    cosine = (audience / norm).T @ (audience / norm)
    np.fill_diagonal(cosine, 0)
    return cosine


@settings(deadline=None, max_examples=40)
@given(pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=30), keep=st.integers(1, 8))
def test_kept_neighbours_are_the_largest_cosines(pairs: list[tuple[int, int]], keep: int) -> None:
    users, items = (np.array([pair[i] for pair in pairs], np.int64) for i in (0, 1))
    found = Neighbours.fit(users, items, 8, keep)
    cosine = dense_cosine(users, items, 8)
    for item in range(8):
        low, high = found.start[item], found.start[item + 1]
        kept = found.item[low:high]
        assert np.allclose(found.similarity[low:high], cosine[item, kept], atol=1e-6)
        assert (np.diff(kept) > 0).all()
        largest = np.sort(cosine[item][cosine[item] > 0])[::-1][:keep]
        assert np.allclose(np.sort(found.similarity[low:high])[::-1], largest, atol=1e-6)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 20, 200), rng.integers(0, 30, 200)
    whole = Neighbours.fit(users, items, 30, 5)
    monkeypatch.setattr(retrieval, "BLOCK_ITEMS", 7)
    blocks = Neighbours.fit(users, items, 30, 5)
    assert all(np.array_equal(getattr(whole, n), getattr(blocks, n)) for n in ("start", "item", "similarity"))


def test_between_broadcasts_and_is_zero_where_not_kept() -> None:
    found = Neighbours(np.array([0, 2, 3, 3]), np.array([1, 2, 0]), np.array([0.5, 0.25, 0.5], np.float32))
    left, right = np.array([[0], [1], [2]]), np.array([[0, 1, 2]])
    assert found.between(left, right).tolist() == [[0, 0.5, 0.25], [0.5, 0, 0], [0, 0, 0]]
    nothing = Neighbours(np.zeros(4, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    assert nothing.between(left, right).sum() == 0


def test_retrieved_sums_takes_the_best_and_the_latest() -> None:
    items = ItemArrays.of(items_table({"a": "x", "b": "x", "c": "y", "d": "y"}))
    # a: b .5, c .25   b: c .75   d: none
    found = Neighbours(
        np.array([0, 2, 3, 3, 3]), np.array([1, 2, 2]), np.array([0.5, 0.25, 0.75], np.float32)
    )
    contexts = [
        context("u", [("b", 2), ("a", 3), ("d", 2)]),
        context("v", [("a", 1), ("unknown", 2)]),
        context("w", [("a", 2)]),
    ]
    got = found.retrieve(Histories.of(contexts, items))
    assert got.key.tolist() == [1, 2, 9, 10]  # row * 4 + item
    assert got.total.tolist() == [0.5, 1.0, 0.5, 0.25]
    assert got.best.tolist() == [0.5, 0.75, 0.5, 0.25]
    assert got.age.tolist() == [1, 1, 0, 0]
    assert [got.row(row)[0].tolist() for row in range(3)] == [[1, 2], [], [1, 2]]
