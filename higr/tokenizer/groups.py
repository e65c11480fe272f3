"""Items by the prefix they share, and what each group holds, as arrays: no loop over items."""

import numpy as np


def prefix_groups(codes: np.ndarray) -> list[np.ndarray]:
    """Number of every item's group, (N,) int64, at each depth from 1 to D.

    codes: (N, D). Groups are numbered from 0 in lexicographic order of their prefixes.
    """
    size = int(codes.max()) + 1
    group = np.zeros(len(codes), np.int64)
    groups = []
    for level in codes.T:
        _, group = np.unique(group * size + level, return_inverse=True)
        groups.append(group)
    return groups


def count_cells(group: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair of a group and a label that occurs: group, label, items; sorted by group, then label.

    group, label: (N,) integers from 0.
    """
    labels = int(label.max()) + 1
    key, counts = np.unique(group.astype(np.int64) * labels + label, return_counts=True)
    return key // labels, key % labels, counts


def pairs(counts: np.ndarray) -> np.ndarray:
    """Unordered pairs that can be drawn from groups of these sizes."""
    counts = counts.astype(np.int64)
    return counts * (counts - 1) // 2


def spread(counts: np.ndarray) -> float:
    """Perplexity of an occupancy: exp of its entropy, 1 to the number of places; 0 where all are empty."""
    total = counts.sum()
    if not total:
        return 0.0
    share = counts[counts > 0] / total
    return float(np.exp(-(share * np.log(share)).sum()))
