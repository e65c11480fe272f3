"""From a whole catalogue to the few items worth ranking: neighbours first, then what is popular."""

from collections.abc import Sequence

import numpy as np

from higr.baseline.retrieval import Retrieved


def candidates_of(
    retrieved: Retrieved, order: np.ndarray, blocked: Sequence[np.ndarray], count: int
) -> np.ndarray:
    """Up to `count` distinct items a context.

    Neighbours come first, the most similar in sum ahead; the rest are the most popular items. A row
    is short only when fewer items are eligible.

    Args:
        order: eligible positions, the most popular first; what is not in it is never a candidate.
        blocked: one array of positions a context, excluded for it alone.

    Returns:
        (B, C) int64 item positions, C = max(1, the longest row), -1 at the end of shorter rows.
    """
    eligible = np.zeros(retrieved.size, dtype=bool)
    eligible[order] = True
    open_ = eligible.copy()
    rows = []
    for row, excluded in enumerate(blocked):
        open_[excluded] = False
        item, total = retrieved.row(row)
        allowed = open_[item]
        item, total = item[allowed], total[allowed]
        near = item[np.argsort(-total, kind="stable")[:count]]
        open_[near] = False
        popular = order[: count + len(excluded)]
        popular = popular[open_[popular]][: count - len(near)]
        rows.append(np.concatenate((near, popular)))
        touched = np.concatenate((excluded, near))
        open_[touched] = eligible[touched]
    width = max([1, *(len(found) for found in rows)])
    padded = np.full((len(rows), width), -1, dtype=np.int64)
    for row, found in enumerate(rows):
        padded[row, : len(found)] = found
    return padded
