"""Keys that were seen on a day: a row delivered twice, or an item shown to a user again, is told by them."""

from collections import defaultdict

import numpy as np

MAX_RUNS = 6


class SeenKeys:
    """Hashes by day, 8 bytes each, in a few sorted runs."""

    def __init__(self) -> None:
        self._runs: dict[int, list[np.ndarray]] = defaultdict(list)
        self.touched: set[int] = set()

    def put(self, day: int, keys: np.ndarray) -> None:
        """Keys of a day from an earlier run, sorted."""
        self._runs[day].append(keys)

    def day(self, day: int) -> np.ndarray:
        """(keys,) uint64, sorted."""
        return _merged(self._runs.get(day, []))

    def repeats(self, days: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """(rows,) bool: the key was seen on that day, earlier in `keys` or before. All are remembered.

        days: (rows,) int64; keys: (rows,) uint64.
        """
        repeated = np.zeros(len(keys), dtype=bool)
        for day in np.unique(days).tolist():
            rows = np.flatnonzero(days == day)
            own, first = np.unique(keys[rows], return_index=True)
            fresh = np.ones(len(own), dtype=bool)
            for run in self._runs[day]:
                place = np.minimum(np.searchsorted(run, own), len(run) - 1)
                fresh &= run[place] != own
            repeated[rows] = True
            repeated[rows[first[fresh]]] = False
            if fresh.any():
                self._runs[day].append(own[fresh])
                self.touched.add(day)
            if len(self._runs[day]) > MAX_RUNS:
                self._runs[day] = [_merged(self._runs[day])]
        return repeated

    def has(self, keys: np.ndarray) -> np.ndarray:
        """(rows,) bool: seen on any day. Nothing is remembered."""
        found = np.zeros(len(keys), dtype=bool)
        for runs in self._runs.values():
            for run in runs:
                place = np.minimum(np.searchsorted(run, keys), len(run) - 1)
                found |= run[place] == keys
        return found


def _merged(runs: list[np.ndarray]) -> np.ndarray:
    if not runs:
        return np.empty(0, np.uint64)
    return runs[0] if len(runs) == 1 else np.sort(np.concatenate(runs))
