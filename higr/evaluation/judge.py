"""Generated slates laid beside logged ones, as the arrays that the metrics take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from higr.data.schemas import Feedback
from higr.evaluation.metrics import effective_view_hit, impression_hit, intra_list_diversity, ndcg, recall
from higr.slate import Slate


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
    generated: Sequence[Slate], logged: Logged, category: Mapping[str, int], k: int
) -> dict[str, np.ndarray]:
    """Every metric of every slate: name to (S,) float64, NaN where not defined.

    Args:
        category: item to category code, for every generated item.
        k: positions that count, in the generated slates.
    """
    shape = (len(generated), k)
    exposed, engaged = np.zeros(shape, bool), np.zeros(shape, bool)
    gain, kind = np.zeros(shape), np.full(shape, -1, np.int64)
    for row, slate in enumerate(generated):
        levels, strengths = logged.feedback[row], logged.strength[row]
        for column, item in enumerate(slate.item_ids[:k]):
            level = levels.get(item)
            kind[row, column] = category[item]
            if level is not None:
                exposed[row, column] = True
                engaged[row, column] = level >= Feedback.ENGAGED
                gain[row, column] = strengths[item]
    relevant = logged.relevant
    ideal_binary = np.arange(max(relevant.max(initial=1), 1)) < relevant[:, None]
    return {
        f"impression_hit@{k}": impression_hit(exposed),
        f"effective_view_hit@{k}": effective_view_hit(engaged, relevant),
        f"ndcg@{k}": ndcg(gain, _padded(logged.strength)),
        f"ndcg_binary@{k}": ndcg(engaged.astype(np.float64), ideal_binary.astype(np.float64)),
        f"recall@{k}": recall(engaged, relevant),
        f"intra_list_diversity@{k}": intra_list_diversity(kind),
    }


def _padded(strength: Sequence[Mapping[str, float]]) -> np.ndarray:
    """(S, L) strengths, 0 where a slate is shorter."""
    padded = np.zeros((len(strength), max([1, *(len(values) for values in strength)])))
    for row, values in enumerate(strength):
        padded[row, : len(values)] = list(values.values())
    return padded
