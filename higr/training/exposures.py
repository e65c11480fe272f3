"""Slates as rectangles of numbers, a chunk of slates at a time: no loop over slates, bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.catalog import Catalog

PADDING = -1
CELLS = 1 << 19
"""Pairs of positions of one slate that a chunk compares at most: what bounds its memory."""


@dataclass(frozen=True)
class Exposures:
    """R consecutive slates side by side, L positions each.

    Attributes:
        rows: (R,) int64, the slates' rows in their table.
        items: (R, L) int64 catalogue positions in order of exposure, PADDING behind a slate's end and
            where the catalogue has no such item.
        feedback: (R, L) int8, `Feedback` levels; means nothing where there is no item.
        strength: (R, L) float64, likewise.
    """

    rows: np.ndarray
    items: np.ndarray
    feedback: np.ndarray
    strength: np.ndarray


def exposures(slates: pa.Table, catalog: Catalog) -> Iterator[Exposures]:
    """The slates (`SLATES`) in their order; how they are cut into chunks changes nothing but memory."""
    lengths = pc.list_value_length(slates["item_ids"]).to_numpy()
    known = pc.index_in(
        pc.list_flatten(slates["item_ids"]), value_set=pa.array(catalog.item_ids, pa.string())
    )
    items = pc.fill_null(known, PADDING).to_numpy()
    feedback, strength = (pc.list_flatten(slates[name]).to_numpy() for name in ("feedback", "strength"))
    ends = np.cumsum(lengths, dtype=np.int64)
    longest = max(1, int(lengths.max(initial=1)))
    size = max(1, CELLS // longest**2)
    for start in range(0, len(lengths), size):
        rows = np.arange(start, min(start + size, len(lengths)))
        inside = np.arange(max(1, int(lengths[rows].max()))) < lengths[rows, None]  # (R, L)
        flat = slice(int(ends[start] - lengths[start]), int(ends[rows[-1]]))
        yield Exposures(
            rows,
            _rectangle(inside, items[flat], np.int64, PADDING),
            _rectangle(inside, feedback[flat], np.int8, 0),
            _rectangle(inside, strength[flat], np.float64, 0),
        )


def to_front(items: np.ndarray, kept: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """(R, L) `items`, those of `kept` first, by ascending keys, the first counting most, then as they were.

    PADDING stands behind them. All arguments are (R, L).
    """
    order = np.lexsort((*keys[::-1], ~kept), axis=-1)
    behind = np.arange(items.shape[1]) >= kept.sum(axis=1)[:, None]
    return np.where(behind, PADDING, np.take_along_axis(items, order, axis=1))


def cut(items: np.ndarray, size: int) -> np.ndarray:
    """(R, size): the first columns, or all of them and PADDING."""
    missing = max(0, size - items.shape[1])
    return np.pad(items[:, :size], ((0, 0), (0, missing)), constant_values=PADDING)


def _rectangle(inside: np.ndarray, flat: np.ndarray, kind: type, fill: int) -> np.ndarray:
    filled: np.ndarray = np.full(inside.shape, fill, dtype=kind)
    filled[inside] = flat
    return filled
