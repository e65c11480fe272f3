"""Metrics of slates: one value a slate, NaN where a metric is not defined for that slate.

Effective-view Hit, NDCG and recall ask how well engaged items were found; a slate with no engaged
item has no answer, so its value is NaN and it does not count in the mean. Impression Hit counts
every slate. The paper does not report its convention.

Arrays: S slates, k generated positions, L logged positions; padding is False or 0.
"""

import numpy as np


def impression_hit(exposed: np.ndarray) -> np.ndarray:
    """1 where any generated item is among the exposed ones.

    Args:
        exposed: (S, k) bool, the generated item was exposed in the logged slate.

    >>> impression_hit(np.array([[False, True], [False, False]])).tolist()
    [1.0, 0.0]
    """
    return np.asarray(exposed.any(axis=1), dtype=np.float64)


def effective_view_hit(engaged: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """1 where any generated item is among the engaged ones.

    Args:
        engaged: (S, k) bool, the generated item was effectively viewed in the logged slate.
        relevant: (S,) number of engaged items of the logged slate.

    >>> effective_view_hit(np.array([[False, True], [False, False]]), np.array([2, 0])).tolist()
    [1.0, nan]
    """
    return _where(relevant > 0, np.asarray(engaged.any(axis=1), dtype=np.float64))


def recall(engaged: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Engaged items found / engaged items of the logged slate.

    >>> recall(np.array([[True, False], [False, False]]), np.array([3, 0])).round(3).tolist()
    [0.333, nan]
    """
    return _where(relevant > 0, engaged.sum(axis=1) / np.maximum(relevant, 1))


def ndcg(gain: np.ndarray, ideal: np.ndarray) -> np.ndarray:
    """DCG / ideal DCG, DCG = sum over positions m = 1, 2, ... of gain_m / log2(m + 1).

    Args:
        gain: (S, k) gain of each generated item: its feedback strength in the logged slate (graded), or 1
            where engaged (binary); 0 where it was not there or not engaged.
        ideal: (S, L) gains of the logged slate in any order; the ideal order is by gain, cut at k.

    >>> round(float(ndcg(np.array([[0.0, 2.0]]), np.array([[2.0, 1.0, 0.0]]))[0]), 4)
    0.4796
    """
    k = gain.shape[1]
    best = -np.sort(-ideal, axis=1)[:, :k]
    reachable = best @ _discount(best.shape[1])
    return _where(reachable > 0, gain @ _discount(k) / np.where(reachable > 0, reachable, 1.0))


def intra_list_diversity(category: np.ndarray) -> np.ndarray:
    """Share of a slate's item pairs that are of different categories; NaN below two items.

    Args:
        category: (S, k) category codes, -1 where the slate is shorter.

    >>> intra_list_diversity(np.array([[1, 1, 2], [3, -1, -1]])).round(3).tolist()
    [0.667, nan]
    """
    there = category >= 0
    left, right = np.triu_indices(category.shape[1], 1)
    pair = there[:, left] & there[:, right]  # (S, pairs)
    different = pair & (category[:, left] != category[:, right])
    pairs = pair.sum(axis=1)
    return _where(pairs > 0, different.sum(axis=1) / np.maximum(pairs, 1))


def catalogue_coverage(items: np.ndarray, size: int) -> float:
    """Distinct recommended items over all slates / items that could be recommended.

    Args:
        items: (S, k) item codes, -1 where the slate is shorter.
        size: items of the catalogue that may be recommended.

    >>> catalogue_coverage(np.array([[0, 1], [1, -1]]), 8)
    0.25
    """
    return len(np.unique(items[items >= 0])) / size


def _discount(positions: int) -> np.ndarray:
    return 1.0 / np.log2(np.arange(2, positions + 2))


def _where(defined: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(defined, values, np.nan)
