"""Counts and sums of what can drift, by hour and block of users: all that is kept of a log.

A block is a fixed sixteenth of the users, by hash. Windows of any whole hours are sums of these rows, and
resampling blocks and days says what chance does: rows of one user are not independent, nor are those of one day.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

BLOCKS = 16
HOUR_MS = 3_600_000
DAY_HOURS = 24

TALLY = pa.schema(
    [
        pa.field("hour", pa.int32(), nullable=False),
        pa.field("block", pa.int8(), nullable=False),
        pa.field("column", pa.string(), nullable=False),
        pa.field("cell", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("total", pa.float64(), nullable=False),
    ]
)
"""`hour` since 1970 UTC. `n` rows of a cell and the `total` of their values; 0 where only counted."""

KEYS = ["hour", "block", "column", "cell"]
DENSE_CELLS = 4_000_000


def hours(stamps_ms: np.ndarray) -> np.ndarray:
    """(rows,) int64 milliseconds to whole hours since 1970."""
    return stamps_ms // HOUR_MS


class Places:
    """Where the rows of a batch are counted.

    hour, block: (rows,) int64. `coarse` places have day and no block: for what has too many cells.
    """

    def __init__(self, hour: np.ndarray, block: np.ndarray) -> None:
        self.first = int(hour.min()) // DAY_HOURS * DAY_HOURS if len(hour) else 0
        self.fine = (hour - self.first) * BLOCKS + block
        self.coarse = (hour - self.first) // DAY_HOURS * DAY_HOURS * BLOCKS

    def taken(self, rows: np.ndarray) -> "Places":
        """Of some of the rows, or of rows repeated: an index or a mask."""
        places = Places.__new__(Places)
        places.first, places.fine, places.coarse = self.first, self.fine[rows], self.coarse[rows]
        return places


class Tally:
    """Adds up batches; `table` gives `TALLY` with one row a key."""

    def __init__(self) -> None:
        self._parts: list[pd.DataFrame] = []

    def add(
        self,
        column: str,
        places: Places,
        cells: np.ndarray | None = None,
        labels: Sequence[str] | np.ndarray = ("",),
        values: np.ndarray | None = None,
        *,
        coarse: bool = False,
    ) -> None:
        """Count rows by cell, and add up their values.

        cells: (rows,) positions in `labels`; None: one cell. values: (rows,); NaN is left out, row and all.
        """
        at = places.coarse if coarse else places.fine
        if values is not None and np.isnan(values).any():
            real = ~np.isnan(values)
            at, values = at[real], values[real]
            cells = None if cells is None else cells[real]
        if not len(at):
            return
        key = at if cells is None else at * len(labels) + cells
        key, counts, totals = _sums(key, values)
        place, cell = key // len(labels), key % len(labels)
        self._parts.append(
            pd.DataFrame(
                {
                    "hour": (places.first + place // BLOCKS).astype(np.int32),
                    "block": (place % BLOCKS).astype(np.int8),
                    "column": pd.Categorical.from_codes(np.zeros(len(key), np.int8), [column]),
                    "cell": np.asarray(labels, dtype=object)[cell],
                    "n": counts,
                    "total": totals,
                }
            )
        )
        if len(self._parts) > 400:
            self._parts = [self._summed()]

    def add_table(self, table: pa.Table) -> None:
        """Add what `table` gave before."""
        self._parts.append(table.to_pandas())

    def table(self) -> pa.Table:
        if not self._parts:
            return TALLY.empty_table()
        return pa.Table.from_pandas(self._summed(), TALLY, preserve_index=False)

    def _summed(self) -> pd.DataFrame:
        rows = pd.concat([part.astype({"column": object}) for part in self._parts], ignore_index=True)
        return rows.groupby(KEYS, sort=True, as_index=False).sum()


def _sums(key: np.ndarray, values: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct keys, rows a key, total of the values a key."""
    if len(key) and key.max() < DENSE_CELLS:
        counts = np.bincount(key)
        found = np.flatnonzero(counts)
        totals = np.zeros(len(found)) if values is None else np.bincount(key, values)[found]
        return found, counts[found], totals
    found, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
    return found, counts, np.zeros(len(found)) if values is None else np.bincount(inverse, values)
