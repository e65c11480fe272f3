"""Stand-ins against numbers by hand and against a plain recursion. Run: pytest tests/test_stand_ins.py"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.stand_ins import find_stand_ins
from tests.trees import Code

BOOKS = np.array([[[0.0], [10.0], [20.0]], [[0.0], [3.0], [4.0]]], np.float32)
"""Codewords on a line: two levels of three."""


@pytest.mark.parametrize(
    ("code", "expected", "why"),
    [
        ((0, 1), (0, 1), "it was trained"),
        ((0, 2), (0, 1), "4 is nearer to 3 than to 0"),
        ((1, 0), (1, 2), "the only one under its prefix, however far"),
        ((2, 0), (1, 2), "no prefix of it was trained: 20 + 0 by way of 10"),
        ((2, 1), (1, 2), "there, too"),
    ],
)
def test_by_hand(code: Code, expected: Code, why: str) -> None:
    trained = np.array([(1, 2), (0, 0), (0, 1)])
    assert find_stand_ins(np.array([code]), trained, BOOKS).tolist() == [list(expected)], why


def test_under_another_prefix_what_that_prefix_lacks_counts() -> None:
    """(2, 0) is at 20, its stand-in's prefix at 10: of what is below, 10 + 4 is nearer than 10 + 0."""
    trained = np.array([(1, 0), (1, 2)])
    assert find_stand_ins(np.array([(2, 0)]), trained, BOOKS).tolist() == [[1, 2]]


def test_the_code_that_extends_a_semantic_id_says_nothing_of_content() -> None:
    trained = np.array([(0, 0, 1), (0, 0, 2), (1, 2, 0)])
    codes = np.array([(0, 0, 0), (0, 0, 2), (0, 1, 2), (2, 2, 2)])
    assert find_stand_ins(codes, trained, BOOKS).tolist() == [[0, 0, 1], [0, 0, 2], [0, 0, 1], [1, 2, 0]]


def recursion(code: Code, trained: set[Code], books: np.ndarray) -> Code:
    """By the definition, one semantic ID at a time."""
    chosen: Code = ()
    for level in range(len(code)):
        below = sorted({row[level] for row in trained if row[:level] == chosen})
        own = code[:level] == chosen and code[level] in below
        if own or level == len(books):
            chosen = (*chosen, code[level] if own else below[0])
            continue
        target = sum(books[depth][code[depth]] for depth in range(level + 1))
        sums = [
            sum(books[depth][part] for depth, part in enumerate(chosen)) + books[level][child]
            for child in below
        ]
        distances = [float(((target - total) ** 2).sum()) for total in sums]
        chosen = (*chosen, below[int(np.argmin(distances))])
    return chosen


@settings(max_examples=200, deadline=None)
@given(data=st.data(), size=st.integers(1, 6), depth=st.integers(1, 4), extended=st.booleans())
def test_equals_the_recursion(data: st.DataObject, size: int, depth: int, extended: bool) -> None:
    code = st.tuples(*[st.integers(0, size - 1)] * (depth + extended))
    trained = data.draw(st.lists(code, min_size=1, max_size=12))
    codes = data.draw(st.lists(code, min_size=1, max_size=20))
    books = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=(depth, size, 3))
    found = [tuple(row) for row in find_stand_ins(np.array(codes), np.array(trained), books).tolist()]
    assert found == [recursion(row, set(trained), books) for row in codes]
    for level in range(depth + extended + 1):
        spoken = {(row[:level], other[:level]) for row, other in zip(codes, found, strict=True)}
        assert len(spoken) == len({prefix for prefix, _ in spoken})  # one prefix, one stand-in


def test_more_rows_than_a_block() -> None:
    rng = np.random.default_rng(0)
    codes, trained = rng.integers(0, 40, (3000, 3)), rng.integers(0, 40, (50, 3))
    books = rng.normal(size=(3, 40, 4))
    found = find_stand_ins(codes, trained, books)
    rows = rng.choice(3000, 30, replace=False)
    assert np.array_equal(
        found[rows], np.concatenate([find_stand_ins(codes[[row]], trained, books) for row in rows])
    )
    assert {tuple(row) for row in found.tolist()} <= {tuple(row) for row in trained.tolist()}
