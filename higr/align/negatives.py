"""What each kind of rejected slate is, for many slates at once.

Everywhere: R slates, M positions, `lengths` (R,) items of each positive; positives are (R, M)
catalogue positions without repeats, best first, PADDING behind the end. Every rejected slate is as
long as its positive and holds no item twice.
"""

from collections.abc import Callable

import numpy as np

from higr.training.exposures import PADDING, cut, to_front

Keys = Callable[[np.ndarray, int], np.ndarray]
"""(R', M) random keys of some of the slates, by their places in the chunk, and the number of the draw."""


def among(items: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(R, A) bool: which of the (R, A) items are among the (R, B) others of their slate; PADDING never is."""
    return (items[:, :, None] == others[:, None, :]).any(axis=2) & (items != PADDING)


def shuffled(positives: np.ndarray, lengths: np.ndarray, disorder: float, keys: Keys) -> np.ndarray:
    """Ranking: some positions, at least two, drawn at random, take each other's items.

    Every choice of max(2, disorder * length) positions and every order of their items but the given one
    is equally likely: the given one is drawn again.
    """
    moved = np.maximum(2, np.rint(disorder * lengths)).astype(np.int64)
    rejected = positives.copy()
    left, draw = np.arange(len(positives)), 0
    while len(left):
        sources = _drawn(keys(left, draw), lengths[left], moved[left])  # (R', M), M where none
        targets = np.sort(sources, axis=1)
        rows, columns = np.nonzero(targets < positives.shape[1])
        where = left[rows]
        rejected[where, targets[rows, columns]] = positives[where, sources[rows, columns]]
        left, draw = left[(sources == targets).all(axis=1)], draw + 1
    return rejected


def uninteresting(
    positives: np.ndarray, lengths: np.ndarray, unengaged: np.ndarray, share: float, keys: Keys
) -> np.ndarray:
    """Interest: max(1, share * length) items, as far as there are unengaged ones, are replaced by these.

    The positions are drawn at random, so that none of them always stands for what was not wanted; the
    first of `unengaged` takes the first of them.

    Args:
        unengaged: (R, L) items, worst received first, PADDING behind them; none is of the positive.
    """
    wanted = np.maximum(1, np.rint(share * lengths)).astype(np.int64)
    count = np.minimum(wanted, (unengaged != PADDING).sum(axis=1))
    places = np.sort(_drawn(keys(np.arange(len(positives)), 0), lengths, count), axis=1)
    rows, columns = np.nonzero(places < positives.shape[1])
    rejected = positives.copy()
    rejected[rows, places[rows, columns]] = unengaged[rows, columns]
    return rejected


def filled(positives: np.ndarray, lengths: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Diversity: the positive's first item, then the others nearest to it that the positive does not hold.

    Args:
        others: (R, A) in order, enough of them.
    """
    size = positives.shape[1]
    fresh = (others != PADDING) & ~among(others, positives)
    rejected = np.concatenate([positives[:, :1], cut(to_front(others, fresh), size - 1)], axis=1)
    rejected[np.arange(size) >= lengths[:, None]] = PADDING
    return rejected


def exchanged(positives: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Signals: position after position, the first of its `others` that the slate does not hold yet.

    Where there is none the item stays.

    Args:
        others: (R, M, A) for each item of the positive, in order, PADDING behind them; anything behind the
            positive's end.
    """
    rejected = positives.copy()
    rows = np.arange(len(positives))
    for place in range(positives.shape[1]):
        choice = others[:, place]  # (R, A)
        free = (choice != PADDING) & ~among(choice, positives) & ~among(choice, rejected)
        free &= positives[:, place, None] != PADDING
        first = free.argmax(axis=1)
        rejected[:, place] = np.where(free[rows, first], choice[rows, first], positives[:, place])
    return rejected


def _drawn(keys: np.ndarray, lengths: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(R, M) `count` of the first `lengths` positions in random order, then M: no position."""
    size = keys.shape[1]
    places = np.where(np.arange(size) < lengths[:, None], keys, np.inf).argsort(axis=1)
    return np.where(np.arange(size) < count[:, None], places, size)
