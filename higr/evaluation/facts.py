"""What is known of items before the test period: category, codes, popularity, kind."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.catalog import Catalog
from higr.data.schemas import Feedback

PREFIXES = (1, 2)
"""Depths whose entropy is measured."""


@dataclass(frozen=True)
class Background:
    """What the training period says of items and users.

    Attributes:
        views: effective views of every item that was exposed in training, 0 among them.
        head: the most viewed of those items, a configured share of them; ties by id.
        users: who has an event in training.
    """

    views: Mapping[str, int]
    head: frozenset[str]
    users: frozenset[str]

    @classmethod
    def of(cls, training: pa.Table, head_share: float) -> "Background":
        """From `LABELLED_EVENTS` before the validation period.

        Args:
            head_share: share of the exposed items that make the head.
        """
        items = training["item_id"].to_pylist()
        engaged = pc.greater_equal(training["feedback"], int(Feedback.ENGAGED)).to_pylist()
        counts = Counter(item for item, good in zip(items, engaged, strict=True) if good)
        views = {item: counts[item] for item in set(items)}
        ranked = sorted(views, key=lambda item: (-views[item], item))
        head = ranked[: round(head_share * len(ranked))]
        return cls(views, frozenset(head), frozenset(training["user_id"].unique().to_pylist()))

    def kind(self, item: str) -> str:
        """`cold` (not exposed in training), `head` or `tail`."""
        if item not in self.views:
            return "cold"
        return "head" if item in self.head else "tail"


@dataclass(frozen=True)
class ItemFacts:
    """Every item that may be recommended, N of them, in one order.

    Attributes:
        position: item id to its place in the arrays.
        category: (N,) category codes.
        prefixes: depth to (N,) one number a semantic-ID prefix, -1 for an item without codes; empty
            without a catalogue. All models' items are mapped by this, whatever made the slate.
        views: (N,) effective views in training, 0 for what was not exposed; None without a background.
    """

    position: Mapping[str, int]
    category: np.ndarray
    prefixes: Mapping[int, np.ndarray]
    views: np.ndarray | None

    @classmethod
    def of(cls, items: pa.Table, catalog: Catalog | None, background: Background | None) -> "ItemFacts":
        """From `ITEMS`; disabled items are left out."""
        active = items.filter(pc.fill_null(pc.not_equal(items["status"], "disabled"), True))
        ids = active["item_id"].to_pylist()
        category = active["category"].combine_chunks().dictionary_encode().indices.to_numpy()
        views = None
        if background is not None:
            views = np.array([background.views.get(item, 0) for item in ids], dtype=np.float64)
        prefixes = {depth: _prefixes(ids, catalog, depth) for depth in PREFIXES} if catalog else {}
        return cls({item: i for i, item in enumerate(ids)}, category, prefixes, views)


def _prefixes(ids: list[str], catalog: Catalog, depth: int) -> np.ndarray:
    _, group = np.unique(catalog.codes[:, :depth], axis=0, return_inverse=True)
    places = np.array([catalog.position.get(item, -1) for item in ids], dtype=np.int64)
    return np.where(places >= 0, group.reshape(-1)[places], -1)
