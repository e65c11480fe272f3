"""Item-item retrieval: what those who engaged with your items engaged with as well."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from higr.baseline.histories import Histories

BLOCK_ITEMS = 2048
"""Rows of the item-item product computed at once: bounds memory on large catalogues."""


@dataclass(frozen=True)
class Retrieved:
    """Neighbours of the engaged items of B histories, one entry a (context, item) pair.

    Attributes:
        size: N, items in the catalogue.
        key: (P,) int64, row * N + item, ascending, distinct.
        total: (P,) float32, similarity summed over the history's engaged items.
        best: (P,) float32, the largest of these similarities.
        age: (P,) float32, engaged events since the latest engaged item that has this neighbour.
    """

    size: int
    key: np.ndarray
    total: np.ndarray
    best: np.ndarray
    age: np.ndarray

    def row(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Item positions and summed similarities of one context."""
        low, high = np.searchsorted(self.key, (row * self.size, (row + 1) * self.size))
        return self.key[low:high] - row * self.size, self.total[low:high]


@dataclass(frozen=True)
class Neighbours:
    """The most similar items of each item, by cosine over the users who engaged with them.

    cos(i, j) = |U_i and U_j| / sqrt(|U_i| |U_j|), U_i the users who engaged with item i.

    Attributes:
        start: (N + 1,) int64; item i's neighbours are entries start[i] .. start[i + 1] - 1.
        item: (E,) int64 neighbour positions, ascending within an item.
        similarity: (E,) float32 in (0, 1].
    """

    start: np.ndarray
    item: np.ndarray
    similarity: np.ndarray

    @classmethod
    def fit(cls, users: np.ndarray, items: np.ndarray, size: int, keep: int) -> "Neighbours":
        """From engaged pairs.

        Args:
            users: (P,) user codes.
            items: (P,) item positions, below `size`; a repeated pair counts once.
            size: N.
            keep: neighbours kept an item, the most similar; ties go to the lower position.
        """
        shape = (int(users.max(initial=-1)) + 1, size)
        pairs = sparse.csr_matrix((np.ones(len(users)), (users, items)), shape=shape)
        pairs.data[:] = 1.0
        norm = np.sqrt(np.maximum(np.bincount(pairs.indices, minlength=size), 1))
        scaled = (pairs @ sparse.diags(1.0 / norm)).tocsc()
        blocks = [
            _strongest(scaled[:, low : low + BLOCK_ITEMS].T @ scaled, low, keep)
            for low in range(0, size, BLOCK_ITEMS)
        ]
        row, item, similarity = (np.concatenate(part) for part in zip(*blocks, strict=True))
        start = np.searchsorted(row, np.arange(size + 1))
        return cls(start, item, similarity.astype(np.float32))

    @property
    def size(self) -> int:
        """N, items in the catalogue."""
        return len(self.start) - 1

    def retrieve(self, histories: Histories) -> Retrieved:
        """Neighbours of every engaged item, merged per context."""
        row, item, age = histories.engaged_ages()
        entry, source = self._entries(item)
        key = row[source] * self.size + self.item[entry]
        order = np.argsort(key, kind="stable")
        key = key[order]
        first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.empty(0, np.int64)
        if not len(first):
            empty = np.empty(0, np.float32)
            return Retrieved(self.size, key, empty, empty, empty)
        similarity = self.similarity[entry[order]]
        return Retrieved(
            self.size,
            key[first],
            np.add.reduceat(similarity, first),
            np.maximum.reduceat(similarity, first),
            np.minimum.reduceat(age[source[order]].astype(np.float32), first),
        )

    def between(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Similarity of each pair of positions (broadcast); 0 where `right` is no neighbour of `left`."""
        wanted = left * self.size + right
        if not len(self.item):
            return np.zeros(wanted.shape, np.float32)
        at = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[at] == wanted, self.similarity[at], np.float32(0))

    @cached_property
    def _keys(self) -> np.ndarray:
        """(E,) int64, row * N + item, ascending."""
        rows = np.repeat(np.arange(self.size), np.diff(self.start))
        return rows * self.size + self.item

    def _entries(self, item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Entries of all neighbours of `item`, and which element of `item` each belongs to."""
        count = self.start[item + 1] - self.start[item]
        source = np.repeat(np.arange(len(item)), count)
        within = np.arange(len(source)) - np.repeat(np.cumsum(count) - count, count)
        return self.start[item][source] + within, source


def _strongest(
    product: sparse.spmatrix, first_row: int, keep: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The `keep` largest entries of each row, diagonal left out, in order of (row, item)."""
    entries = product.tocoo()
    row, item, value = entries.row.astype(np.int64) + first_row, entries.col.astype(np.int64), entries.data
    other = row != item
    row, item, value = row[other], item[other], value[other]
    order = np.lexsort((item, -value, row))
    row, item, value = row[order], item[order], value[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    kept = np.flatnonzero(rank < keep)
    kept = kept[np.lexsort((item[kept], row[kept]))]
    return row[kept], item[kept], value[kept]
