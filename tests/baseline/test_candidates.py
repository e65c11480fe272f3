"""Candidates: neighbours, then popular items, never a blocked one, never short without need."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.baseline.candidates import candidates_of
from higr.baseline.retrieval import Retrieved

NONE = np.empty(0, np.int64)


def retrieved(size: int, entries: list[tuple[int, int, float]]) -> Retrieved:
    entries = sorted(entries)
    key = np.array([row * size + item for row, item, _ in entries], np.int64)
    total = np.array([value for *_, value in entries], np.float32)
    return Retrieved(size, key, total, total, np.zeros_like(total))


def test_neighbours_first_then_popular() -> None:
    near = retrieved(6, [(0, 4, 0.2), (0, 5, 0.9), (1, 2, 0.3)])
    order = np.array([0, 1, 2, 3, 4])  # 5 is disabled
    got = candidates_of(near, order, [NONE, np.array([0, 2]), np.arange(6)], 3)
    assert got.tolist() == [[4, 0, 1], [1, 3, 4], [-1, -1, -1]]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_as_many_distinct_eligible_candidates_as_there_are(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 9))
    active = data.draw(st.lists(st.integers(0, size - 1), unique=True))
    blocked = data.draw(st.lists(st.lists(st.integers(0, size - 1), unique=True), min_size=1, max_size=4))
    pairs = data.draw(
        st.lists(st.tuples(st.integers(0, len(blocked) - 1), st.integers(0, size - 1)), unique=True)
    )
    count = data.draw(st.integers(1, 12))
    near = retrieved(size, [(row, item, (row + item) % 3 + 0.5) for row, item in pairs])
    got = candidates_of(near, np.array(active, np.int64), [np.array(b, np.int64) for b in blocked], count)
    for row, excluded in enumerate(blocked):
        found = got[row][got[row] >= 0].tolist()
        eligible = set(active) - set(excluded)
        assert len(found) == len(set(found)) == min(count, len(eligible))
        assert set(found) <= eligible
