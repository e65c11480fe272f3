"""How often chance alone would give a difference as large: sign flips over users, Holm's correction."""

from collections.abc import Sequence

import numpy as np

BLOCK = 256
"""Flips drawn at once: bounds memory."""


def sign_flip(
    differences: np.ndarray, users: Sequence[str] | np.ndarray, flips: int, seed: int
) -> np.ndarray:
    """(J,) two-sided p-values of the hypothesis that a user's difference is as likely to be its negative.

    The paired permutation test (Fisher, 1935), a user's slates flipped together: they are alike. The
    smallest value it can give is 1 / (flips + 1).

    Args:
        differences: (S, J) model minus opponent, one column a metric; NaN does not count.
        users: user of each slate.
    """
    _, owner = np.unique(np.asarray(users, dtype=str), return_inverse=True)
    people = int(owner.max(initial=-1)) + 1
    totals = np.zeros((people, differences.shape[1]))
    np.add.at(totals, owner, np.nan_to_num(differences))
    observed = np.abs(totals.sum(axis=0))
    # Sums of the same numbers in another order differ by rounding: a tie must count as one.
    least = observed - 1e-9 * np.abs(totals).sum(axis=0)
    rng = np.random.default_rng(seed)
    reached = np.zeros(differences.shape[1])
    for low in range(0, flips, BLOCK):
        block = min(BLOCK, flips - low)
        bits = np.unpackbits(
            rng.integers(256, size=(block, -(-people // 8)), dtype=np.uint8), axis=1, count=people
        )
        flipped = 2 * (bits.astype(np.float64) @ totals) - totals.sum(axis=0)
        reached += (np.abs(flipped) >= least).sum(axis=0)
    return np.asarray((reached + 1) / (flips + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm, 1979), in the order given: at most 0.05 where the test at 0.05 rejects.

    >>> [round(p, 3) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]
