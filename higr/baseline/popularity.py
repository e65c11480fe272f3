"""The most engaged items, the same for everyone: the floor under every other recommender."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow.compute as pc

from higr.baseline.items import ItemArrays
from higr.data.prepared import PreparedData
from higr.data.schemas import Feedback
from higr.errors import InputError
from higr.slate import Slate, UserContext


@dataclass(frozen=True)
class Popularity:
    """Active items in order of effective views during training; ties in catalogue order.

    Attributes:
        item_ids: every active item, the most engaged first.
        engaged: effective views of each, not increasing.
    """

    item_ids: tuple[str, ...]
    engaged: tuple[int, ...]

    @classmethod
    def fit(cls, data: PreparedData) -> "Popularity":
        """Count the effective views of `data.train_events`."""
        items = ItemArrays.of(data.items)
        events = data.train_events
        engaged = events.filter(pc.greater_equal(events["feedback"], int(Feedback.ENGAGED)))
        counts = np.bincount(items.positions(engaged["item_id"].to_pylist()), minlength=len(items))
        return cls.of(items, counts)

    @classmethod
    def of(cls, items: ItemArrays, counts: np.ndarray) -> "Popularity":
        """From (N,) effective views in catalogue order."""
        order = popularity_order(items, counts)
        return cls(tuple(items.item_ids[i] for i in order), tuple(int(counts[i]) for i in order))

    def recommend(
        self,
        contexts: Sequence[UserContext],
        slate_size: int,
        exclude: Sequence[Collection[str]] | None = None,
    ) -> list[Slate]:
        """The same items for every context, but for what is excluded. Scores are effective views."""
        exclusions = exclusions_of(contexts, slate_size, exclude)
        return [self._slate(slate_size, excluded) for excluded in exclusions]

    def _slate(self, slate_size: int, excluded: Collection[str]) -> Slate:
        left = (pair for pair in zip(self.item_ids, self.engaged, strict=True) if pair[0] not in excluded)
        chosen = list(islice(left, slate_size))
        return Slate(tuple(item for item, _ in chosen), tuple(float(count) for _, count in chosen))


def popularity_order(items: ItemArrays, counts: np.ndarray) -> np.ndarray:
    """Positions of the active items, the largest count first, ties in catalogue order."""
    order = np.argsort(-counts.astype(np.int64), kind="stable")
    return order[items.active[order]]


def exclusions_of(
    contexts: Sequence[UserContext], slate_size: int, exclude: Sequence[Collection[str]] | None
) -> Sequence[Collection[str]]:
    """One set of excluded ids a context.

    Raises:
        InputError: a slate size below 1, or not one exclusion a context.
    """
    if slate_size < 1:
        raise InputError(f"slate size {slate_size} is below 1; ask for at least one item")
    if exclude is None:
        return [frozenset()] * len(contexts)
    if len(exclude) != len(contexts):
        raise InputError(f"{len(exclude)} exclusions for {len(contexts)} contexts; give one a context")
    return [frozenset(excluded) for excluded in exclude]
