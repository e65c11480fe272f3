"""The `reassign` policy: unique, minimal, nearest, independent of row order."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.errors import InputError
from higr.tokenizer.collisions import reassign

# One dimension: level 1 decides the tens, level 2 the ones.
LINE = np.array([[[0.0], [10.0], [20.0]], [[0.0], [1.0], [2.0]]])


def ids(count: int) -> tuple[str, ...]:
    return tuple(f"item-{i:04d}" for i in range(count))


def latents(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_nothing_to_do() -> None:
    codes = np.array([[0, 0], [0, 1]])
    out, report = reassign(ids(2), codes, latents(0.0, 1.0), LINE)
    assert np.array_equal(out, codes)
    assert (report.colliding, report.moved, report.largest, report.error_after) == (0, 0, 1, 0.0)


def test_best_fitting_keeps_its_id_and_the_other_takes_the_nearest_free_codeword() -> None:
    out, report = reassign(ids(2), np.array([[1, 0], [1, 0]]), latents(10.4, 10.1), LINE)
    assert out.tolist() == [[1, 1], [1, 0]]
    assert (report.colliding, report.moved, report.left_prefix, report.largest) == (2, 1, 0, 2)
    assert report.error_before == pytest.approx(0.16)
    assert report.error_after == pytest.approx(0.36)
    assert report.to_json()["moved"] == 1


def test_a_codeword_another_item_holds_is_not_free() -> None:
    out, _ = reassign(ids(3), np.array([[1, 0], [1, 0], [1, 1]]), latents(10.4, 10.1, 11.0), LINE)
    assert out.tolist() == [[1, 2], [1, 0], [1, 1]]


def test_a_full_prefix_sends_its_last_item_to_the_nearest_other_prefix() -> None:
    codes = np.array([[1, 0], [1, 0], [1, 1], [1, 2]])
    out, report = reassign(ids(4), codes, latents(10.0, 14.0, 11.0, 12.0), LINE)
    assert out.tolist() == [[1, 0], [2, 0], [1, 1], [1, 2]]  # 14 is 6 from 20 and 14 from 0
    assert report.left_prefix == 1


def test_ties_are_settled_by_item_id() -> None:
    out, _ = reassign(("b", "a"), np.array([[1, 0], [1, 0]]), latents(10.0, 10.0), LINE)
    assert out.tolist() == [[1, 1], [1, 0]]


def test_more_items_than_semantic_ids() -> None:
    with pytest.raises(InputError, match="10 items do not fit into 9 semantic IDs"):
        reassign(ids(10), np.zeros((10, 2), int), np.zeros((10, 1)), LINE)


@st.composite
def crowded(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size, depth = draw(st.integers(2, 4)), draw(st.integers(2, 3))
    count = draw(st.integers(1, size**depth))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    crowd = draw(st.integers(1, size))  # codes come from a corner, so that prefixes overflow
    codes = rng.integers(0, crowd, size=(count, depth))
    return codes, rng.normal(size=(count, 3)), rng.normal(size=(depth, size, 3))


@settings(max_examples=80, deadline=None)
@given(crowded())
def test_unique_minimal_and_independent_of_row_order(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    codes, z, books = case
    out, report = reassign(ids(len(codes)), codes, z, books)
    assert len(np.unique(out, axis=0)) == len(codes)
    assert out.min() >= 0
    assert out.max() < books.shape[1]
    changed = (out != codes).any(axis=1)
    distinct, counts = np.unique(codes, axis=0, return_counts=True)
    assert changed.sum() == report.moved == len(codes) - len(distinct)
    held = {tuple(code) for code in codes.tolist()}
    assert not held & {tuple(code) for code in out[changed].tolist()}
    alone = {tuple(code) for code in distinct[counts == 1].tolist()}
    assert not any(tuple(code) in alone for code in codes[changed].tolist())
    order = np.random.default_rng(0).permutation(len(codes))
    names = tuple(ids(len(codes))[i] for i in order)
    again, same = reassign(names, codes[order], z[order], books)
    assert np.array_equal(again, out[order])
    assert same == report


@settings(max_examples=40, deadline=None)
@given(crowded())
def test_each_keeps_the_longest_prefix_that_has_room(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    codes, z, books = case
    out, report = reassign(ids(len(codes)), codes, z, books)
    size, depth = books.shape[1], books.shape[0]
    taken = {tuple(code) for code in out.tolist()}
    for before, after in zip(codes.tolist(), out.tolist(), strict=True):
        if before[:-1] != after[:-1]:  # it left, so the prefix it left must be full in the end
            assert all((*before[:-1], c) in taken for c in range(size))
    everywhere = set(itertools.product(range(size), repeat=depth))
    assert taken <= everywhere
    assert report.items == len(codes)
