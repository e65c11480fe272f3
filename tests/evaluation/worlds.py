"""Recommenders whose figures are known beforehand, and slates to measure them on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from higr.catalog import Catalog
from higr.data.schemas import ITEMS, SLATES
from higr.slate import Slate, UserContext
from tests.baseline.worlds import START, context, events_table, slate_row, table

IDS = [f"i{i:02d}" for i in range(20)]


@dataclass
class Ordered:
    """Recommends the catalogue in one order, and remembers how it was asked."""

    order: Sequence[str]

    def __post_init__(self) -> None:
        self.batches: list[int] = []

    def recommend(
        self,
        contexts: Sequence[UserContext],
        slate_size: int,
        exclude: Sequence[Collection[str]] | None = None,
    ) -> list[Slate]:
        self.batches.append(len(contexts))
        exclusions = exclude if exclude is not None else [()] * len(contexts)
        kept = [[item for item in self.order if item not in out][:slate_size] for out in exclusions]
        return [Slate(tuple(items), tuple(float(-i) for i in range(len(items)))) for items in kept]


def items() -> pa.Table:
    rows = [
        {
            "item_id": item,
            "category": f"category {i % 4}",
            "text": f"<b>Title</b> of {item}" if i % 2 else None,
            "duration_seconds": 12.0 if i % 3 else None,
            "created_at": START,
            "status": "disabled" if item == "i19" else "active",
        }
        for i, item in enumerate(IDS)
    ]
    return table(ITEMS, rows)


def slates(count: int, users: int) -> tuple[pa.Table, list[UserContext]]:
    """Everybody is shown i02, i03, i04 and engages with i03; i00 is in every context."""
    rows = [slate_row(i, f"u{i % users}", i, ["i02", "i03", "i04"], [1, 2, 1], "test") for i in range(count)]
    return table(SLATES, rows), [context(row["user_id"], [("i00", 2), ("i05", 1)]) for row in rows]


def training() -> pa.Table:
    """i00 to i09 were exposed; i01 and i05 viewed most, so that they are the head. u0 is new."""
    events = [("u1", f"i{i:02d}", i, 1) for i in range(10)]
    events += [(f"u{user}", item, 20 + user, 2) for user in range(1, 12) for item in ("i01", "i05")]
    return events_table([*events, ("u1", "i03", 40, 2)])


def catalog() -> Catalog:
    """Two codes an item, the first one its category."""
    codes = np.array([[i % 4, i // 4] for i in range(len(IDS))])
    return Catalog.build(IDS, codes, codebook_size=8)
