"""Neighbours against brute force: random, equal and tied vectors; company; the approximate search."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_matrix

from higr.errors import InputError
from higr.tokenizer import neighbours as module
from higr.tokenizer.content import normalise
from higr.tokenizer.neighbours import content_neighbours, cooccurrence_neighbours


def brute_force(rows: np.ndarray, count: int) -> list[list[int]]:
    """By falling cosine, then by the first row that holds the vector, then by row."""
    first = [int(np.flatnonzero((rows == row).all(axis=1))[0]) for row in rows]
    lists = []
    for item in range(len(rows)):
        cosine = np.round(rows.astype(np.float64) @ rows[item].astype(np.float64), 6)
        same = [i != item and first[i] == first[item] for i in range(len(rows))]
        order = sorted(
            (j for j in range(len(rows)) if j != item and cosine[j] > 0),
            key=lambda j: (not same[j], -cosine[j], first[j], j),
        )
        lists.append((order[:count] + [-1] * count)[:count])
    return lists


SMALL = arrays(
    np.float32,
    st.tuples(st.integers(1, 24), st.integers(1, 3)),
    elements=st.sampled_from([0.0, 1.0, -1.0, 2.0]),
)


class TestContent:
    @settings(max_examples=60, deadline=None)
    @given(rows=SMALL, count=st.integers(1, 6), spare=st.integers(0, 3))
    def test_ties_and_equals_against_brute_force(self, rows: np.ndarray, count: int, spare: int) -> None:
        """Vectors of few values: most cosines are tied, many rows equal, some zero."""
        rows = normalise(rows)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "BLOCK", 7)
            patch.setattr(module, "SPARE", spare)
            assert content_neighbours(rows, count).tolist() == brute_force(rows, count)

    def test_random_vectors_against_brute_force(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "BLOCK", 64)
        rows = normalise(np.random.default_rng(0).normal(size=(300, 16)))
        rows[100:110] = rows[3]
        assert content_neighbours(rows, 12).tolist() == brute_force(rows, 12)

    def test_ties_that_reach_beyond_what_was_searched_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Eight vectors as near to the first to six decimals, the last of them the nearest in float32."""
        monkeypatch.setattr(module, "SPARE", 1)
        cosine = 0.3 + 5e-8 * np.arange(8)
        rows = np.zeros((9, 9), np.float32)
        rows[0, 0] = 1.0
        rows[1:, 0], rows[1:, 1:] = cosine, np.diag(np.sqrt(1 - cosine**2))
        assert np.argsort(-rows[1:] @ rows[0])[0] == 7
        found = content_neighbours(rows, 3)
        assert found[0].tolist() == [1, 2, 3]
        assert found.tolist() == brute_force(rows, 3)

    def test_all_equal_all_zero_and_no_width(self) -> None:
        equal = np.full((5, 4), 0.5, np.float32)
        assert content_neighbours(equal, 3).tolist() == [
            [1, 2, 3],
            [0, 2, 3],
            [0, 1, 3],
            [0, 1, 2],
            [0, 1, 2],
        ]
        assert content_neighbours(np.zeros((3, 4), np.float32), 2).tolist() == [[-1, -1]] * 3
        assert content_neighbours(np.zeros((3, 0), np.float32), 2).tolist() == [[-1, -1]] * 3

    def test_fewer_items_than_neighbours(self) -> None:
        rows = np.array([[1.0, 0], [1, 0], [0, 0]], np.float32)
        assert content_neighbours(rows, 4).tolist() == [[1, -1, -1, -1], [0, -1, -1, -1], [-1] * 4]

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_no_numbers_name_the_row(self, value: float) -> None:
        rows = np.ones((9, 2), np.float32)
        rows[6, 1] = value
        with pytest.raises(InputError, match="row 6 holds NaN or infinite values"):
            content_neighbours(rows, 2)

    def test_the_inverted_file_finds_clusters_and_can_be_repeated(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Above the limit: 40 clusters, each row twice; nine tenths of the nearest are found."""
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(40, 24))[rng.integers(40, size=2000)] + 0.4 * rng.normal(size=(2000, 24))
        rows = normalise(np.repeat(rows, 2, axis=0))
        exact = content_neighbours(rows, 10)
        monkeypatch.setattr(module, "EXACT", 1000)
        found = content_neighbours(rows, 10)
        assert np.array_equal(found, content_neighbours(rows, 10))
        twin = np.arange(4000) ^ 1
        assert np.array_equal(found[:, 0], twin)
        assert not (found == np.arange(4000)[:, None]).any()
        shared = [len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
        assert np.mean(shared) > 9


class TestCompany:
    def test_by_hand(self) -> None:
        counts = csr_matrix(np.array([[0, 8, 2, 1], [8, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0, 0]], dtype=float))
        assert cooccurrence_neighbours(counts, 2).tolist() == [[1, 2], [0, -1], [0, -1], [-1, -1]]

    @settings(max_examples=40, deadline=None)
    @given(
        upper=arrays(np.int8, (9, 9), elements=st.sampled_from([0, 0, 0, 1, 2, 3])),
        count=st.integers(1, 10),
        pairs=st.integers(1, 40),
    )
    def test_against_brute_force(self, upper: np.ndarray, count: int, pairs: int) -> None:
        dense = np.triu(upper, 1).astype(float)
        dense += dense.T
        often = np.where(dense >= 2, dense, 0)
        totals = np.maximum(often.sum(axis=1), 1)
        expected = []
        for item in range(9):
            cosine = often[item] / np.sqrt(totals * totals[item])
            order = sorted((j for j in range(9) if cosine[j] > 0), key=lambda j: (-cosine[j], j))
            expected.append((order[:count] + [-1] * count)[:count])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "PAIRS", pairs)
            assert cooccurrence_neighbours(csr_matrix(dense), count).tolist() == expected
