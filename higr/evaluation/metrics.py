"""Metrics of slates: one value a slate, NaN where a metric is not defined for that slate.

Effective-view Hit, NDCG and recall ask how well engaged items were found; a slate with no engaged
item has no answer, so its value is NaN and it does not count in the mean. Impression Hit counts
every slate. The paper does not report its convention. `docs/evaluation.md` has the whole protocol.

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


def prefix_entropy(prefixes: np.ndarray) -> np.ndarray:
    """Shannon entropy of a slate's semantic-ID prefixes over its maximum: 0 all alike, 1 all distinct.

    The maximum is log n for n items (Pielou's evenness of n draws); NaN below two items.

    Args:
        prefixes: (S, k) one number a prefix, -1 where the slate is shorter or the item has no codes.

    >>> prefix_entropy(np.array([[7, 7, 7, 7], [7, 7, 2, 2], [1, 2, 3, -1], [5, -1, -1, -1]])).tolist()
    [0.0, 0.5, 1.0, nan]
    """
    there = prefixes >= 0
    count = there.sum(axis=1)
    alike = ((prefixes[:, :, None] == prefixes[:, None, :]) & there[:, None, :]).sum(axis=2)  # (S, k)
    total = np.maximum(count, 1)[:, None]
    surprise = np.where(there, -np.log(np.maximum(alike, 1) / total), 0.0)
    entropy = surprise.sum(axis=1) / total[:, 0]
    return _where(count > 1, entropy / np.log(np.maximum(count, 2)))


def repetition(items: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """Share of a slate's items that stood in the slate generated for the same user just before.

    One minus the temporal diversity of Lathia et al. (SIGIR 2010); NaN for a user's first slate.

    Args:
        items: (S, k) item codes, -1 where the slate is shorter.
        previous: (S,) row of the user's slate before, -1 where there is none.

    >>> repetition(np.array([[1, 2], [2, 3], [4, 5]]), np.array([-1, 0, 1])).tolist()
    [nan, 0.5, 0.0]
    """
    there = items >= 0
    again = (items[:, :, None] == items[previous][:, None, :]).any(axis=2) & there
    count = there.sum(axis=1)
    return _where((previous >= 0) & (count > 0), again.sum(axis=1) / np.maximum(count, 1))


def popularity_lift(views: np.ndarray, base: float) -> np.ndarray:
    """Mean popularity of a slate's items over a common base, less 1: 0 as popular, 1 twice as popular.

    The mean over slates is the popularity lift of Abdollahpouri et al. (RecSys 2020), taken over slates.

    Args:
        views: (S, k) effective views of each item in training, NaN where the slate is shorter.
        base: the same mean of the items it is compared with; where it is 0 there is no lift (NaN).

    >>> popularity_lift(np.array([[4.0, 8.0], [2.0, np.nan]]), 3.0).round(3).tolist()
    [1.0, -0.333]
    """
    there = ~np.isnan(views)
    count = there.sum(axis=1)
    mean = np.where(there, views, 0.0).sum(axis=1) / np.maximum(count, 1)
    return _where((count > 0) & (base > 0), mean / (base or 1.0) - 1.0)


def catalogue_coverage(items: np.ndarray, size: int) -> float:
    """Distinct recommended items over all slates / items that could be recommended.

    Args:
        items: (S, k) item codes, -1 where the slate is shorter.
        size: items of the catalogue that may be recommended.

    >>> catalogue_coverage(np.array([[0, 1], [1, -1]]), 8)
    0.25
    """
    return len(np.unique(items[items >= 0])) / size


def gini(items: np.ndarray, size: int) -> float:
    """Gini coefficient of how often each item was recommended: 0 all alike, near 1 one item only.

    Args:
        items: (S, k) item codes, -1 where the slate is shorter; at least one item.
        size: N, items that may be recommended, the never recommended ones included.

    >>> [gini(np.array([[0, 1, 2, 3]]), 4), gini(np.array([[0, 0]]), 4)]
    [0.0, 0.75]
    """
    counts = np.sort(np.bincount(items[items >= 0], minlength=size))
    rank = np.arange(1, size + 1)
    return float((2 * rank - size - 1) @ counts / (size * counts.sum()))


def _discount(positions: int) -> np.ndarray:
    return 1.0 / np.log2(np.arange(2, positions + 2))


def _where(defined: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(defined, values, np.nan)
