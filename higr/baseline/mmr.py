"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): relevant, and not more of the same.

The next item maximises  lambda * relevance - (1 - lambda) * max similarity to what is chosen.
Relevance is scaled to [0, 1] within a context. Two items of one category have similarity 1; items of
different categories have the cosine of their audiences (`Neighbours`).
"""

import numpy as np

from higr.baseline.items import ItemArrays
from higr.baseline.retrieval import Neighbours


def rerank(
    candidates: np.ndarray,
    scores: np.ndarray,
    slate_size: int,
    relevance_weight: float,
    items: ItemArrays,
    neighbours: Neighbours,
) -> np.ndarray:
    """Choose `slate_size` columns of each row, greedily.

    Args:
        candidates: (B, C) item positions, -1 where a row has fewer; C >= 1.
        scores: (B, C) higher is better; ignored where the candidate is -1.
        relevance_weight: lambda, 1 is relevance alone.

    Returns:
        (B, min(slate_size, C)) columns in slate order, -1 where a row has no candidate left.
    """
    rows = np.arange(len(candidates))
    open_ = candidates >= 0  # (B, C)
    relevance = _scaled(scores, open_)
    repetition = np.zeros_like(relevance)
    chosen = np.empty((len(candidates), min(slate_size, candidates.shape[1])), dtype=np.int64)
    for position in range(chosen.shape[1]):
        value = relevance_weight * relevance - (1 - relevance_weight) * repetition
        best = np.argmax(np.where(open_, value, -np.inf), axis=1)  # ties: the earlier candidate
        chosen[:, position] = np.where(open_[rows, best], best, -1)
        open_[rows, best] = False
        picked = candidates[rows, best][:, None]  # (B, 1)
        same = items.category[picked] == items.category[candidates]
        similarity = np.where(same, 1.0, neighbours.between(picked, candidates))
        repetition = np.maximum(repetition, similarity)
    return chosen


def _scaled(scores: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Each row's valid scores moved to [0, 1]; equal scores become 0."""
    low = np.where(valid, scores, np.inf).min(axis=1, keepdims=True)
    high = np.where(valid, scores, -np.inf).max(axis=1, keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    return np.where(valid, (scores - low) / span, 0.0)
