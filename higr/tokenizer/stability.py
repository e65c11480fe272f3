"""How much of the semantic IDs comes from the items, and how much from the seed.

Two trainings number their codewords differently, so codes are compared in two ways: after the
one-to-one renaming of each level's codewords that most items agree with (Hungarian assignment on
the contingency table), and without any matching, by the pairs of items that stand under one prefix
in both (adjusted Rand index, Hubert and Arabie 1985: 0 is chance, 1 the same groups). The paper
does not report stability.
"""

from dataclasses import dataclass

import numpy as np

from higr.errors import InputError
from higr.tokenizer.groups import count_cells, pairs, prefix_groups


@dataclass(frozen=True)
class Stability:
    """Semantic IDs of the same items by two trainings.

    Attributes:
        levels: share of items whose code agrees after matching, one a level.
        prefixes: share of items whose first d codes all agree after matching, d from 1 to D.
        rand: adjusted Rand index of the groups that prefixes make, d from 1 to D.
    """

    levels: tuple[float, ...]
    prefixes: tuple[float, ...]
    rand: tuple[float, ...]


def measure_stability(first: np.ndarray, second: np.ndarray) -> Stability:
    """first, second: (N, D) codes of the same items in the same order.

    Raises:
        InputError: other items or another depth.
    """
    if first.shape != second.shape:
        raise InputError(
            f"stability: codes of shape {first.shape} and {second.shape}; encode the same items twice"
        )
    agree = np.column_stack([_agree(one, two) for one, two in zip(first.T, second.T, strict=True)])
    return Stability(
        levels=tuple(agree.mean(axis=0).tolist()),
        prefixes=tuple(np.logical_and.accumulate(agree, axis=1).mean(axis=0).tolist()),
        rand=tuple(
            _adjusted_rand(one, two)
            for one, two in zip(prefix_groups(first), prefix_groups(second), strict=True)
        ),
    )


def _agree(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N,) bool: the codes of one level are matched codewords. Unused codewords are left out."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and rarely needed

    _, one = np.unique(first, return_inverse=True)
    _, two = np.unique(second, return_inverse=True)
    table = np.zeros((one.max() + 1, two.max() + 1), np.int32)
    np.add.at(table, (one, two), 1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    renamed = np.full(len(table), -1)
    renamed[rows] = columns
    return np.asarray(renamed[one] == two)


def _adjusted_rand(first: np.ndarray, second: np.ndarray) -> float:
    both = float(pairs(count_cells(first, second)[2]).sum())
    one, two = (float(pairs(np.bincount(group)).sum()) for group in (first, second))
    total = float(pairs(np.array(len(first))))
    expected = one * two / total if total else 0.0
    possible = (one + two) / 2
    # Both all of groups of one, or both one group: the same groups, and nothing chance could add.
    return (both - expected) / (possible - expected) if possible != expected else 1.0
