"""Generated slates laid beside logged ones, as the arrays that the metrics take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from higr.data.schemas import Feedback
from higr.evaluation.facts import Background, ItemFacts
from higr.evaluation.metrics import (
    effective_view_hit,
    impression_hit,
    intra_list_diversity,
    ndcg,
    popularity_lift,
    prefix_entropy,
    recall,
    repetition,
)
from higr.slate import Slate

KINDS = ("head", "tail", "cold")
"""Kinds of items by their training exposure, see `Background.kind`."""


@dataclass(frozen=True)
class Logged:
    """What S logged slates say about an item. An item exposed twice counts once, at its best.

    Attributes:
        feedback: one mapping a slate, item to feedback level.
        strength: one mapping a slate, item to strength; 0 for what was not engaged.
        relevant: (S,) number of engaged items.
    """

    feedback: tuple[Mapping[str, int], ...]
    strength: tuple[Mapping[str, float], ...]
    relevant: np.ndarray

    @classmethod
    def of(cls, slates: pa.Table) -> "Logged":
        """From a table with the columns of `higr.data.schemas.SLATES`."""
        feedback, strength = [], []
        columns = (slates[name].to_pylist() for name in ("item_ids", "feedback", "strength"))
        for items, levels, values in zip(*columns, strict=True):
            level_of: dict[str, int] = {}
            value_of: dict[str, float] = {}
            for item, level, value in zip(items, levels, values, strict=True):
                level_of[item] = max(level, level_of.get(item, level))
                gained = value if level >= Feedback.ENGAGED else 0.0
                value_of[item] = max(gained, value_of.get(item, 0.0))
            feedback.append(level_of)
            strength.append(value_of)
        relevant = [sum(level >= Feedback.ENGAGED for level in levels.values()) for levels in feedback]
        return cls(tuple(feedback), tuple(strength), np.array(relevant, dtype=np.int64))


def slate_values(
    generated: Sequence[Slate],
    logged: Logged,
    facts: ItemFacts,
    k: int,
    *,
    background: Background | None = None,
    previous: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Every metric of every slate: name to (S,) float64, NaN where not defined.

    Args:
        facts: of every generated item.
        k: positions that count, in the generated slates.
        background: for popularity lift and recall of cold, head and tail items; without, they are absent.
        previous: (S,) row of the same user's slate before, -1 where there is none; None: repetition is
            absent.
    """
    items = item_rows(generated, facts, k)
    exposed, engaged, gain = _reception(generated, logged, k)
    relevant = logged.relevant
    ideal_binary = np.arange(max(relevant.max(initial=1), 1)) < relevant[:, None]
    values = {
        f"impression_hit@{k}": impression_hit(exposed),
        f"effective_view_hit@{k}": effective_view_hit(engaged, relevant),
        f"ndcg@{k}": ndcg(gain, _padded(logged.strength)),
        f"ndcg_binary@{k}": ndcg(engaged.astype(np.float64), ideal_binary.astype(np.float64)),
        f"recall@{k}": recall(engaged, relevant),
        f"intra_list_diversity@{k}": intra_list_diversity(_look_up(facts.category, items)),
    }
    for depth, prefixes in facts.prefixes.items():
        values[f"prefix_entropy_{depth}@{k}"] = prefix_entropy(_look_up(prefixes, items))
    if previous is not None:
        values[f"repetition@{k}"] = repetition(items, previous)
    if background is not None and facts.views is not None:
        views = np.where(items >= 0, facts.views[items], np.nan)
        values[f"popularity_lift@{k}"] = popularity_lift(views, _mean_views(logged, background))
        values |= _recall_by_kind(generated, engaged, logged, background, k)
    return values


def item_rows(generated: Sequence[Slate], facts: ItemFacts, k: int) -> np.ndarray:
    """(S, k) places of the generated items in `facts`, -1 where a slate is shorter."""
    items = np.full((len(generated), k), -1, np.int64)
    for row, slate in enumerate(generated):
        places = [facts.position[item] for item in slate.item_ids[:k]]
        items[row, : len(places)] = places
    return items


def _reception(
    generated: Sequence[Slate], logged: Logged, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(S, k) each: was the generated item exposed, was it engaged, with what strength."""
    shape = (len(generated), k)
    exposed, engaged, gain = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape)
    for row, slate in enumerate(generated):
        levels = logged.feedback[row]
        for column, item in enumerate(slate.item_ids[:k]):
            if item in levels:
                exposed[row, column] = True
                engaged[row, column] = levels[item] >= Feedback.ENGAGED
                gain[row, column] = logged.strength[row][item]
    return exposed, engaged, gain


def _mean_views(logged: Logged, background: Background) -> float:
    """Mean over slates of the mean training views of their engaged items: what popularity lift stands on."""
    means = [
        float(np.mean([background.views.get(item, 0) for item in items]))
        for items in map(_engaged, logged.feedback)
        if items
    ]
    return float(np.mean(means)) if means else 0.0


def _recall_by_kind(
    generated: Sequence[Slate], engaged: np.ndarray, logged: Logged, background: Background, k: int
) -> dict[str, np.ndarray]:
    """Recall of the engaged items of one kind; NaN for slates that have none of it."""
    found = np.zeros((len(KINDS), len(generated)))
    due = np.zeros((len(KINDS), len(generated)))
    place = {kind: row for row, kind in enumerate(KINDS)}
    for row, (slate, levels) in enumerate(zip(generated, logged.feedback, strict=True)):
        for item in _engaged(levels):
            due[place[background.kind(item)], row] += 1
        for column in np.flatnonzero(engaged[row]):
            found[place[background.kind(slate.item_ids[column])], row] += 1
    share = np.where(due > 0, found / np.maximum(due, 1), np.nan)
    return {f"recall_{kind}@{k}": share[row] for kind, row in place.items()}


def _engaged(levels: Mapping[str, int]) -> list[str]:
    return [item for item, level in levels.items() if level >= Feedback.ENGAGED]


def _look_up(table: np.ndarray, items: np.ndarray) -> np.ndarray:
    return np.where(items >= 0, table[items], -1)


def _padded(strength: Sequence[Mapping[str, float]]) -> np.ndarray:
    """(S, L) strengths, 0 where a slate is shorter."""
    padded = np.zeros((len(strength), max([1, *(len(values) for values in strength)])))
    for row, values in enumerate(strength):
        padded[row, : len(values)] = list(values.values())
    return padded
