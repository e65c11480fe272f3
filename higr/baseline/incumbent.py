"""The conventional recommender: retrieval, pointwise ranking, diversity re-ranking.

What HiGR is measured against, and what serves when HiGR cannot. The stages are fitted twice: the
ranker learns on the late training slates from counts of the time before them, and serves with
counts of the whole training period.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from higr.baseline import store
from higr.baseline.examples import examples_of
from higr.baseline.items import ItemArrays
from higr.baseline.mmr import rerank
from higr.baseline.popularity import Popularity, exclusions_of
from higr.baseline.ranker import Ranker
from higr.baseline.stages import Stages
from higr.config import BaselineConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.slate import Slate, UserContext

BATCH = 256
"""Contexts handled at once: bounds memory."""
LATE_SHARE = 0.3
"""Share of the training slates, the latest, on which the ranker learns."""
MAX_SLATES = 20_000
"""These are no more than this many: beyond it the ranker gains nothing measurable."""


@dataclass(frozen=True)
class Incumbent:
    """Retrieval, ranking and re-ranking over one catalogue.

    Attributes:
        stages: counts of the whole training period.
        ranker: probability of an effective view.
        config: sizes and weights.
    """

    stages: Stages
    ranker: Ranker
    config: BaselineConfig

    @classmethod
    def fit(
        cls, data: PreparedData, contexts: Sequence[UserContext], config: BaselineConfig, seed: int
    ) -> "Incumbent":
        """Learn from the training period of `data`.

        Args:
            contexts: point-in-time contexts, one for each row of `data.split("train")`.

        Raises:
            InputError: no training slate, or not one context a training slate.
        """
        slates = data.split("train")
        if slates.num_rows != len(contexts) or not contexts:
            raise InputError(
                f"baseline: {len(contexts)} contexts for {slates.num_rows} training slates; "
                "give one a slate, and at least one slate"
            )
        items, events = ItemArrays.of(data.items), data.train_events
        late = max(1, min(MAX_SLATES, int(slates.num_rows * LATE_SHARE)))
        first_late = slates["timestamp"][slates.num_rows - late]
        before = Stages.fit(items, events.filter(pc.less(events["timestamp"], first_late)), config.neighbours)
        examples = examples_of(
            before,
            slates.slice(slates.num_rows - late),
            contexts[-late:],
            config.candidates,
            config.unexposed,
            np.random.default_rng(seed),
        )
        ranker = Ranker.fit(examples.features, examples.label, config.trees, seed)
        return cls(Stages.fit(items, events, config.neighbours), ranker, config)

    def showing(self, item_ids: Collection[str]) -> "Incumbent":
        """The same incumbent for a catalogue that has changed: it shows nothing but these items.

        Histories still count with every item it was fitted on. Newer items it cannot show.
        """
        return replace(self, stages=self.stages.showing(item_ids))

    @cached_property
    def popularity(self) -> Popularity:
        """The rung below this one: the same counts without ranker or context."""
        return Popularity.of(self.stages.items, self.stages.engaged)

    def recommend(
        self,
        contexts: Sequence[UserContext],
        slate_size: int,
        exclude: Sequence[Collection[str]] | None = None,
    ) -> list[Slate]:
        """Scores are probabilities of an effective view, among items like those retrieved.

        They need not fall along the slate: re-ranking trades them for diversity.

        Raises:
            InputError: a slate size below 1, or not one exclusion a context.
        """
        exclusions = exclusions_of(contexts, slate_size, exclude)
        slates: list[Slate] = []
        for low in range(0, len(contexts), BATCH):
            part = slice(low, low + BATCH)
            slates.extend(self._batch(contexts[part], slate_size, exclusions[part]))
        return slates

    def _batch(
        self, contexts: Sequence[UserContext], slate_size: int, exclude: Sequence[Collection[str]]
    ) -> list[Slate]:
        stages = self.stages
        batch = stages.prepare(contexts)
        candidates = stages.candidates(batch, exclude, max(self.config.candidates, slate_size))  # (B, C)
        row, column = np.nonzero(candidates >= 0)
        scores = np.zeros(candidates.shape, np.float32)
        scores[row, column] = self.ranker.score(stages.features(batch, row, candidates[row, column]))
        weight = self.config.mmr_lambda
        chosen = rerank(candidates, scores, slate_size, weight, stages.items, stages.neighbours)  # (B, M)
        return [
            self._slate(candidates[i, columns[columns >= 0]], scores[i, columns[columns >= 0]])
            for i, columns in enumerate(chosen)
        ]

    def _slate(self, positions: np.ndarray, scores: np.ndarray) -> Slate:
        ids = self.stages.items.item_ids
        return Slate(tuple(ids[i] for i in positions), tuple(float(score) for score in scores))

    def save(self, path: Path) -> None:
        """One directory, replaced as a whole: Parquet, safetensors and JSON."""
        store.save(path, self.stages, self.ranker, self.config)

    @classmethod
    def load(cls, path: Path) -> "Incumbent":
        """Read what `save` wrote; needs no training table.

        Raises:
            InputError: a file is missing, unreadable, or does not belong to the others.
        """
        return cls(*store.load(path))
