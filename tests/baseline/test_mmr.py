"""Re-ranking by hand, and against a plain loop."""

import numpy as np
import pytest

from higr.baseline.items import ItemArrays
from higr.baseline.mmr import rerank
from higr.baseline.retrieval import Neighbours
from tests.baseline.worlds import items_table

ITEMS = ItemArrays.of(items_table({"a": "x", "b": "x", "c": "y", "d": "z"}))
NEIGHBOURS = Neighbours(
    np.array([0, 1, 1, 2, 2]), np.array([2, 0]), np.array([0.6, 0.6], np.float32)
)  # a - c


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (1.0, [0, 1, 2]),  # by relevance alone
        (0.5, [0, 3, 1]),  # b and c repeat a: .5*.9-.5=-.05, .5*.5-.3=-.05, d: .5*0; then b before c
        (0.8, [0, 1, 2]),  # b .72-.2=.52; c .4-.12=.28
        (0.0, [0, 3, 2]),
    ],
)
def test_by_hand(weight: float, expected: list[int]) -> None:
    scores = np.array([[10.0, 9.0, 5.0, 0.0]])  # scaled: 1, .9, .5, 0
    assert rerank(np.array([[0, 1, 2, 3]]), scores, 3, weight, ITEMS, NEIGHBOURS)[0].tolist() == expected


def test_padding_is_never_chosen() -> None:
    candidates = np.array([[3, -1, -1], [-1, -1, -1], [0, 1, 2]])
    scores = np.array([[-5.0, 9.0, 9.0], [0.0, 0.0, 0.0], [0.1, 0.2, 0.3]])
    assert rerank(candidates, scores, 5, 1.0, ITEMS, NEIGHBOURS).tolist() == [
        [0, -1, -1],
        [-1] * 3,
        [2, 1, 0],
    ]


def test_against_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    items = ItemArrays.of(items_table({f"i{i:02d}": f"c{i % 5}" for i in range(40)}))
    neighbours = Neighbours.fit(rng.integers(0, 30, 400), rng.integers(0, 40, 400), 40, 12)
    candidates = np.stack([rng.permutation(40)[:15] for _ in range(20)])
    scores = rng.random((20, 15))
    got = rerank(candidates, scores, 6, 0.6, items, neighbours)
    for row in range(20):
        scaled = (scores[row] - scores[row].min()) / np.ptp(scores[row])
        chosen: list[int] = []
        for _ in range(6):
            values = {}
            for column, item in enumerate(candidates[row]):
                if column not in chosen:
                    repeated = [
                        1.0
                        if items.category[item] == items.category[candidates[row, c]]
                        else float(neighbours.between(candidates[row, c], item))
                        for c in chosen
                    ]
                    values[column] = 0.6 * scaled[column] - 0.4 * max(repeated, default=0.0)
            chosen.append(max(values, key=values.__getitem__))
        assert got[row].tolist() == chosen
