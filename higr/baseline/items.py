"""The catalogue as arrays: what the incumbent knows of an item before anyone watched it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MILLISECONDS_A_DAY = 86_400_000.0


@dataclass(frozen=True)
class ItemArrays:
    """N items in catalogue order; a position is an index into every array.

    Attributes:
        item_ids: ids, unique.
        active: (N,) bool; False for disabled items, which are never recommended.
        category: (N,) int64 codes.
        creator: (N,) int64 codes, -1 where the creator is unknown.
        duration: (N,) float32 seconds, NaN where unknown.
        created: (N,) float64 days since the epoch, NaN where unknown.
    """

    item_ids: tuple[str, ...]
    active: np.ndarray
    category: np.ndarray
    creator: np.ndarray
    duration: np.ndarray
    created: np.ndarray

    @classmethod
    def of(cls, items: pa.Table) -> "ItemArrays":
        """From a table with the columns of `higr.data.schemas.ITEMS`."""
        created = items["created_at"].cast(pa.int64()).cast(pa.float64()).to_numpy() / MILLISECONDS_A_DAY
        return cls(
            item_ids=tuple(items["item_id"].to_pylist()),
            active=pc.fill_null(pc.not_equal(items["status"], "disabled"), True).to_numpy(),
            category=_codes(items["category"]),
            creator=_codes(items["creator_id"]),
            duration=items["duration_seconds"].cast(pa.float32()).to_numpy(),
            created=created,
        )

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def position(self) -> dict[str, int]:
        """Item id to its position."""
        return {item: i for i, item in enumerate(self.item_ids)}

    def positions(self, item_ids: Iterable[str]) -> np.ndarray:
        """Positions of the ids that the catalogue knows, in the given order; int64."""
        known = (self.position.get(item, -1) for item in item_ids)
        found = np.fromiter(known, dtype=np.int64)
        return found[found >= 0]


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """Equal strings get equal codes, in order of appearance; null gets -1."""
    indices = column.combine_chunks().dictionary_encode().indices
    return pc.fill_null(indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
