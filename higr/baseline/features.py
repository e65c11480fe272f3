"""What the ranker sees of a (context, item) pair: all of it known when the request arrives."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from higr.baseline.histories import Histories
from higr.baseline.items import ItemArrays
from higr.baseline.retrieval import Retrieved
from higr.data.schemas import Feedback

FEATURES = (
    "similarity_total",
    "similarity_best",
    "similarity_age",
    "popularity",
    "engagement_rate",
    "strength",
    "duration_log",
    "created",
    "category_share",
    "category_rate",
    "creator_engaged",
    "creator_rate",
    "seen",
    "history_length",
    "history_rate",
)
PRIOR_EVENTS = 20.0
"""Events that the overall mean counts for when an item's own rate is smoothed."""
PRIOR_HISTORY = 2.0
"""The same for a context's rate within a category or a creator."""


@dataclass(frozen=True)
class ItemStatistics:
    """How items fared in a period. Training pairs must be later than that period: no row then
    sees its own label in a rate.

    Attributes:
        engaged, exposed: (N,) int64 events.
        strength: (N,) float64 summed feedback strength.
    """

    engaged: np.ndarray
    exposed: np.ndarray
    strength: np.ndarray

    @classmethod
    def of(cls, events: pa.Table, item: np.ndarray, size: int) -> "ItemStatistics":
        """From labelled events and their item positions, -1 for items outside the catalogue."""
        known = item >= 0
        engaged = known & (events["feedback"].to_numpy() >= Feedback.ENGAGED)
        return cls(
            engaged=np.bincount(item[engaged], minlength=size),
            exposed=np.bincount(item[known], minlength=size),
            strength=np.bincount(item[known], events["strength"].to_numpy()[known], minlength=size),
        )

    @property
    def overall_rate(self) -> float:
        """Effective views over exposures of all items; one half where nothing was exposed."""
        return float((self.engaged.sum() + 1.0) / (self.exposed.sum() + 2.0))

    def item_features(self, items: ItemArrays) -> np.ndarray:
        """(N, 5) float32: popularity, engagement rate, strength, log duration, creation day.

        Counts are relative to the mean item and rates are smoothed, so that the features mean the
        same whether the period was short (training) or long (serving).
        """
        mean = max(self.engaged.mean(), 1e-9)
        mean_strength = self.strength.sum() / max(self.exposed.sum(), 1)
        weight = self.exposed + PRIOR_EVENTS
        columns = (
            np.log1p(self.engaged / mean),
            (self.engaged + PRIOR_EVENTS * self.overall_rate) / weight,
            (self.strength + PRIOR_EVENTS * mean_strength) / weight,
            np.log1p(items.duration),
            items.created,
        )
        return np.column_stack(columns).astype(np.float32)


def pair_features(
    items: ItemArrays,
    item_features: np.ndarray,
    overall_rate: float,
    histories: Histories,
    retrieved: Retrieved,
    row: np.ndarray,
    item: np.ndarray,
) -> np.ndarray:
    """(P, len(FEATURES)) float32 of P pairs of a context (`row`) and an item position.

    NaN means unknown (no such neighbour, no duration, no creator) and is a value of its own for
    the trees.
    """
    static = item_features[item]
    engaged = histories.engaged
    length = histories.per_row(engaged_only=False)
    positives = histories.per_row(engaged_only=True)
    rate = (positives + PRIOR_HISTORY * overall_rate) / (length + PRIOR_HISTORY)

    def in_history(codes: np.ndarray, only: np.ndarray) -> np.ndarray:
        """How many events of the pair's context share the code of the pair's item."""
        return _matches(histories.row[only], codes[histories.item[only]], row, codes[item])

    every = np.ones(len(engaged), dtype=bool)
    category = in_history(items.category, engaged)
    category_exposed = in_history(items.category, every)
    creator = np.where(items.creator[item] >= 0, in_history(items.creator, engaged), np.nan)
    creator_exposed = in_history(items.creator, every)
    columns = (
        *_similarities(retrieved, row, item),
        static[:, 0],
        static[:, 1],
        static[:, 2],
        static[:, 3],
        static[:, 4],
        category / np.maximum(positives[row], 1),
        (category + PRIOR_HISTORY * rate[row]) / (category_exposed + PRIOR_HISTORY),
        creator,
        (creator + PRIOR_HISTORY * rate[row]) / (creator_exposed + PRIOR_HISTORY),
        in_history(np.arange(len(items)), every),
        length[row],
        rate[row],
    )
    return np.column_stack(columns).astype(np.float32)


def _similarities(retrieved: Retrieved, row: np.ndarray, item: np.ndarray) -> tuple[np.ndarray, ...]:
    """Total, best and age of each pair; 0, 0 and NaN where the item was not retrieved."""
    if not len(retrieved.key):
        nothing = np.zeros(len(row), np.float32)
        return nothing, nothing, np.full(len(row), np.nan, np.float32)
    wanted = row * retrieved.size + item
    at = np.minimum(np.searchsorted(retrieved.key, wanted), len(retrieved.key) - 1)
    found = retrieved.key[at] == wanted
    zero, unknown = np.float32(0), np.float32(np.nan)
    return (
        np.where(found, retrieved.total[at], zero),
        np.where(found, retrieved.best[at], zero),
        np.where(found, retrieved.age[at], unknown),
    )


def _matches(
    row: np.ndarray, code: np.ndarray, wanted_row: np.ndarray, wanted_code: np.ndarray
) -> np.ndarray:
    """For each wanted (row, code): how often it occurs among the (row, code) events."""
    width = int(max(code.max(initial=-1), wanted_code.max(initial=-1))) + 2
    keys = np.sort(row * width + code + 1)
    wanted = wanted_row * width + wanted_code + 1
    return np.searchsorted(keys, wanted, "right") - np.searchsorted(keys, wanted, "left")
