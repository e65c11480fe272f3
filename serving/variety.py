"""How varied a slate is, as its client sees it."""

from collections import Counter
from collections.abc import Sequence
from math import comb

from serving.schemas import Item


def category_diversity(items: Sequence[Item]) -> float:
    """Share of the pairs of at least two items that are of different categories; an item without one is
    like any other without one. As `higr.evaluation.metrics.intra_list_diversity`."""
    alike = sum(comb(count, 2) for count in Counter(item.category for item in items).values())
    return 1 - alike / comb(len(items), 2)


def prefix_share(items: Sequence[Item]) -> float:
    """Share of the items that have the most frequent first code of their semantic IDs."""
    return max(Counter(item.semantic_id[0] for item in items).values()) / len(items)
