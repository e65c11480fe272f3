"""Contexts as flat arrays, so that a batch of them costs one pass of numpy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from higr.baseline.items import ItemArrays
from higr.data.schemas import Feedback
from higr.slate import UserContext


@dataclass(frozen=True)
class Histories:
    """The events of B contexts, context after context, oldest first; E events in all.

    Attributes:
        rows: B.
        row: (E,) int64, the context of each event, ascending.
        item: (E,) int64 item positions; events of items outside the catalogue are left out.
        engaged: (E,) bool, effective views.
    """

    rows: int
    row: np.ndarray
    item: np.ndarray
    engaged: np.ndarray

    @classmethod
    def of(cls, contexts: Sequence[UserContext], items: ItemArrays) -> "Histories":
        position = items.position
        lengths = [len(context.item_ids) for context in contexts]
        total = sum(lengths)
        found = (position.get(item, -1) for context in contexts for item in context.item_ids)
        item = np.fromiter(found, dtype=np.int64, count=total)
        levels = (level for context in contexts for level in context.feedback)
        feedback = np.fromiter(levels, dtype=np.int64, count=total)
        row = np.repeat(np.arange(len(contexts)), lengths)
        known = item >= 0
        return cls(len(contexts), row[known], item[known], feedback[known] >= Feedback.ENGAGED)

    def per_row(self, engaged_only: bool) -> np.ndarray:
        """(B,) number of events of each context."""
        row = self.row[self.engaged] if engaged_only else self.row
        return np.bincount(row, minlength=self.rows)

    def engaged_ages(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Engaged events as (row, item, age); age 0 is the context's latest engaged event."""
        row, item = self.row[self.engaged], self.item[self.engaged]
        ends = np.cumsum(self.per_row(engaged_only=True))
        return row, item, ends[row] - 1 - np.arange(len(row))
