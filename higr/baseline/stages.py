"""All that the incumbent counts before it ranks: item statistics, popularity order, neighbours."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from higr.baseline.candidates import candidates_of
from higr.baseline.features import ItemStatistics, pair_features
from higr.baseline.histories import Histories
from higr.baseline.items import ItemArrays
from higr.baseline.popularity import popularity_order
from higr.baseline.retrieval import Neighbours, Retrieved
from higr.data.schemas import Feedback
from higr.slate import UserContext


@dataclass(frozen=True)
class Batch:
    """B contexts made ready: their histories and the neighbours these bring."""

    histories: Histories
    retrieved: Retrieved


@dataclass(frozen=True)
class Stages:
    """Counts of one period, and what follows from them.

    Attributes:
        order: active item positions, the most engaged first.
        engaged: (N,) int64 effective views.
        item_features: (N, 5) float32, see `ItemStatistics.item_features`.
        overall_rate: effective views over exposures of the period.
    """

    items: ItemArrays
    neighbours: Neighbours
    order: np.ndarray
    engaged: np.ndarray
    item_features: np.ndarray
    overall_rate: float

    @classmethod
    def fit(cls, items: ItemArrays, events: pa.Table, keep: int) -> "Stages":
        """Count `events` (labelled); `keep` neighbours an item."""
        position = items.position
        item = np.fromiter(
            (position.get(i, -1) for i in events["item_id"].to_pylist()), np.int64, count=events.num_rows
        )
        statistics = ItemStatistics.of(events, item, len(items))
        engaged = (events["feedback"].to_numpy() >= Feedback.ENGAGED) & (item >= 0)
        user = events["user_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        return cls(
            items=items,
            neighbours=Neighbours.fit(user[engaged], item[engaged], len(items), keep),
            order=popularity_order(items, statistics.engaged),
            engaged=statistics.engaged,
            item_features=statistics.item_features(items),
            overall_rate=statistics.overall_rate,
        )

    def showing(self, item_ids: Collection[str]) -> "Stages":
        """The same counts with these items alone to choose from; ids it never counted are ignored."""
        active = np.zeros(len(self.items), dtype=bool)
        active[self.items.positions(item_ids)] = True
        items = replace(self.items, active=active)
        return replace(self, items=items, order=popularity_order(items, self.engaged))

    def prepare(self, contexts: Sequence[UserContext]) -> Batch:
        histories = Histories.of(contexts, self.items)
        return Batch(histories, self.neighbours.retrieve(histories))

    def candidates(self, batch: Batch, exclude: Sequence[Collection[str]], count: int) -> np.ndarray:
        """(B, C) item positions, -1 where fewer than C are eligible; see `candidates_of`."""
        blocked = [self.items.positions(excluded) for excluded in exclude]
        return candidates_of(batch.retrieved, self.order, blocked, count)

    def features(self, batch: Batch, row: np.ndarray, item: np.ndarray) -> np.ndarray:
        """(P, F) float32 features of P (context, item) pairs."""
        return pair_features(
            self.items, self.item_features, self.overall_rate, batch.histories, batch.retrieved, row, item
        )
