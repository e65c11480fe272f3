"""Counts and sums of what can drift, by hour and block of users: all that is kept of a log.

A block is a fixed sixteenth of the users, by hash. Windows of any whole hours are sums of these rows, and
resampling blocks and days says what chance does: rows of one user are not independent, nor are those of one
day.
"""

from collections.abc import Sequence

import numpy as np
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
MAX_PARTS = 50


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
        self._labels: dict[str, dict[str, int]] = {}
        self._parts: dict[str, list[tuple[np.ndarray, ...]]] = {}

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
        key, counts, totals = _sums(at if cells is None else at * len(labels) + cells, values)
        known = self._labels.setdefault(column, {})
        used, cell = np.unique(key % len(labels), return_inverse=True)
        names = np.array(
            [known.setdefault(str(labels[i]), len(known)) for i in used.tolist()], dtype=np.int64
        )
        place = key // len(labels) + places.first * BLOCKS
        parts = self._parts.setdefault(column, [])
        parts.append((place, names[cell], counts, totals))
        if len(parts) > MAX_PARTS:
            self._parts[column] = [self._summed(column)]

    def table(self) -> pa.Table:
        """One row a key, in no order."""
        tables = [TALLY.empty_table()]
        for column, names in self._labels.items():
            place, cell, n, total = self._summed(column)
            labels = pa.array(list(names), pa.string())
            values = [
                pa.array((place // BLOCKS).astype(np.int32)),
                pa.array((place % BLOCKS).astype(np.int8)),
                pa.repeat(pa.scalar(column), len(place)),
                labels.take(pa.array(cell)),
                pa.array(n.astype(np.int64)),
                pa.array(total),
            ]
            tables.append(pa.table(values, schema=TALLY))
        return pa.concat_tables(tables)

    def _summed(self, column: str) -> tuple[np.ndarray, ...]:
        place, cell, n, total = (np.concatenate(arrays) for arrays in zip(*self._parts[column], strict=True))
        width = len(self._labels[column])
        key, inverse = np.unique(place * width + cell, return_inverse=True)
        counts = np.bincount(inverse, n).astype(np.int64)  # exact: counts stay far below 2^53
        return key // width, key % width, counts, np.bincount(inverse, total)


def summed(tables: Sequence[pa.Table]) -> pa.Table:
    """`TALLY` tables as one, with one row a key."""
    rows = pa.concat_tables([TALLY.empty_table(), *tables])
    whole = rows.group_by(KEYS, use_threads=False).aggregate([("n", "sum"), ("total", "sum")])
    return pa.table([whole[c] for c in (*KEYS, "n_sum", "total_sum")], schema=TALLY)


def _sums(key: np.ndarray, values: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct keys, rows a key, total of the values a key."""
    if len(key) and key.max() < DENSE_CELLS:
        counts = np.bincount(key)
        found = np.flatnonzero(counts)
        totals = np.zeros(len(found)) if values is None else np.bincount(key, values)[found]
        return found, counts[found], totals
    found, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
    return found, counts, np.zeros(len(found)) if values is None else np.bincount(inverse, values)
