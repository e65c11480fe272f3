"""Does the planner still expect what it expected? Its preference embedding for what users have just liked.

The embedding of a context is p_1, the planner's plan of the first position. Contexts are made of the sampled
slates: what of a slate was effectively viewed is the history. They are shorter than those that serving
has, on both sides of the comparison.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from higr.bundle import Bundle
from higr.catalog import Catalog
from higr.data.schemas import Feedback
from higr.errors import HigrError
from higr.model.higr import HiGR
from higr.model.inputs import encode_contexts
from higr.slate import UserContext
from monitoring.sample import joined
from monitoring.tally import Places, Tally

CONTEXTS_A_DAY = 500
BATCH = 128
MAX_ROWS = 2_000
"""Rows a side that the energy distance looks at: it compares all pairs."""


@dataclass(frozen=True)
class Planner:
    """The model that makes the embeddings."""

    model: HiGR
    catalog: Catalog

    @classmethod
    def of(cls, bundle: Bundle) -> "Planner | None":
        """None where the bundle's model cannot be loaded: serving says so itself."""
        try:
            return cls(bundle.model.eval(), bundle.catalog)
        except (HigrError, KeyError, ValueError, OSError):
            return None

    @torch.inference_mode()
    def embed(self, contexts: Sequence[UserContext]) -> np.ndarray:
        """(B, C) float32."""
        model, found = self.model, [np.empty((0, self.model.config.width), np.float32)]
        for first in range(0, len(contexts), BATCH):
            some = contexts[first : first + BATCH]
            batch = encode_contexts(some, self.catalog, model.profiles, model.config)
            context = model.encode(batch, self.catalog.code_tensor)
            before = torch.empty((len(some), 0, model.config.width))
            found.append(model.plan(context, before)[:, 0].float().numpy())
        return np.concatenate(found)

    def tally(self, table: pa.Table) -> pa.Table:
        """`TALLY` rows of column `planner` for one day's `SAMPLE`: a cell a dimension, contexts and their
        sum."""
        rows = joined(table)
        liked = rows[rows["effective"]].sort_values(["request", "position"])
        tally = Tally()
        groups = list(liked.groupby("request", sort=True))[:CONTEXTS_A_DAY]
        if not groups:
            return tally.table()
        contexts = [
            UserContext("", tuple(part["item_id"]), (int(Feedback.ENGAGED),) * len(part))
            for _, part in groups
        ]
        rows_of = self.embed(contexts)  # (B, C)
        hour, block = (np.array([part[c].iloc[0] for _, part in groups], np.int64) for c in ("hour", "block"))
        count, width = rows_of.shape
        places = Places(np.repeat(hour, width), np.repeat(block, width))
        labels = [str(d) for d in range(width)]
        tally.add("planner", places, np.tile(np.arange(width), count), labels, rows_of.ravel().astype(float))
        return tally.table()


def mean_shift(reference: np.ndarray, current: np.ndarray) -> float:
    """Distance of the means over the reference's spread: 0 is none, 1 is as far as a row is from the mean.

    reference: (N, C); current: (M, C).
    """
    spread = float(np.sqrt(((reference - reference.mean(axis=0)) ** 2).sum(axis=1).mean()))
    return float(np.linalg.norm(current.mean(axis=0) - reference.mean(axis=0))) / max(spread, 1e-12)


def energy_distance(reference: np.ndarray, current: np.ndarray, seed: int = 0) -> float:
    """Szekely and Rizzo's statistic, 0 for one distribution and up to 1: sees what the means do not.

    2 E|X - Y| - E|X - X'| - E|Y - Y'| over 2 E|X - Y|, on at most `MAX_ROWS` rows a side.
    reference: (N, C); current: (M, C); at least two rows each.
    """
    rng = np.random.default_rng(seed)
    x, y = (
        rows[rng.choice(len(rows), min(len(rows), MAX_ROWS), replace=False)].astype(float)
        for rows in (reference, current)
    )
    across = _distances(x, y).mean()
    own = [_distances(rows, rows).sum() / (len(rows) * (len(rows) - 1)) for rows in (x, y)]
    return float((2 * across - sum(own)) / max(2 * across, 1e-12))


def _distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, M) euclidean."""
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None] - 2 * x @ y.T
    distances: np.ndarray = np.sqrt(np.maximum(squares, 0))
    if x is y:
        np.fill_diagonal(distances, 0)
    return distances


def evidently_metric(columns: Sequence[str], threshold: float) -> Any:
    """An Evidently metric of the energy distance over embedding columns, failing its test above `threshold`.

    The stock metric takes half a minute for 20,000 rows of 32; this one a second. Import Evidently as
    `monitoring.drift.evidently_report` does: without telemetry, warnings held back.
    """
    from evidently.core.metric_types import SingleValue, SingleValueCalculation, SingleValueMetric
    from evidently.tests import lte

    class EmbeddingShift(SingleValueMetric):
        """Energy distance between current and reference embeddings."""

        columns: list[str]

    class EmbeddingShiftCalculation(SingleValueCalculation[EmbeddingShift]):
        def calculate(self, context: Any, current_data: Any, reference_data: Any) -> SingleValue:
            sides = [
                data.as_dataframe()[self.metric.columns].to_numpy() for data in (reference_data, current_data)
            ]
            return self.result(energy_distance(*sides))

        def display_name(self) -> str:
            return "Energy distance of preference embeddings"

    return EmbeddingShift(columns=list(columns), tests=[lte(threshold)])
