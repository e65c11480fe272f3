"""Training pairs of the ranker: what late training slates exposed, and what they might have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from higr.baseline.stages import Stages
from higr.data.schemas import Feedback
from higr.slate import UserContext

BATCH = 256
"""Contexts handled at once."""


@dataclass(frozen=True)
class Examples:
    """Attributes:
    features: (P, F) float32.
    label: (P,) bool, effectively viewed.
    """

    features: np.ndarray
    label: np.ndarray


def examples_of(
    stages: Stages,
    slates: pa.Table,
    contexts: Sequence[UserContext],
    candidates: int,
    unexposed: int,
    rng: np.random.Generator,
) -> Examples:
    """Every exposure with its label, and `unexposed` random candidates of each slate as negatives.

    Without the latter the ranker would only ever see items that the logging policy chose, and be
    asked about all the others.

    Args:
        stages: counted strictly before the first of `slates`.
        slates: `SLATES`, one a context.
        candidates: size of the pool from which the negatives are drawn.
    """
    parts = [
        _batch(stages, slates.slice(low, BATCH), contexts[low : low + BATCH], candidates, unexposed, rng)
        for low in range(0, slates.num_rows, BATCH)
    ]
    return Examples(np.concatenate([p.features for p in parts]), np.concatenate([p.label for p in parts]))


def _batch(
    stages: Stages,
    slates: pa.Table,
    contexts: Sequence[UserContext],
    candidates: int,
    unexposed: int,
    rng: np.random.Generator,
) -> Examples:
    exposed_ids = slates["item_ids"].to_pylist()
    exposed = list(_exposures(stages, exposed_ids, slates["feedback"].to_pylist()))
    row, item, label = (np.array(column, dtype=np.int64) for column in zip(*exposed, strict=True))
    batch = stages.prepare(contexts)
    if unexposed:
        seen = [(*context.item_ids, *ids) for context, ids in zip(contexts, exposed_ids, strict=True)]
        pool = stages.candidates(batch, seen, candidates)
        lottery = np.where(pool >= 0, rng.random(pool.shape), 2.0)
        columns = np.argsort(lottery, axis=1)[:, :unexposed]
        drawn = np.take_along_axis(pool, columns, axis=1)  # (B, unexposed)
        drawn_row, drawn_column = np.nonzero(drawn >= 0)
        row = np.concatenate((row, drawn_row))
        item = np.concatenate((item, drawn[drawn_row, drawn_column]))
        label = np.concatenate((label, np.zeros(len(drawn_row), np.int64)))
    return Examples(stages.features(batch, row, item), label.astype(bool))


def _exposures(
    stages: Stages, item_ids: Sequence[Sequence[str]], feedback: Sequence[Sequence[int]]
) -> Iterator[tuple[int, int, bool]]:
    """(row, item position, engaged) of every exposure of an item that the catalogue knows."""
    position = stages.items.position
    for row, (ids, levels) in enumerate(zip(item_ids, feedback, strict=True)):
        for item, level in zip(ids, levels, strict=True):
            if item in position:
                yield row, position[item], level >= Feedback.ENGAGED
