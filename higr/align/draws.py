"""Random numbers that a slate draws: they depend on the seed and on the slate's row, on nothing else."""

import numpy as np

GAMMA = np.uint64(0x9E3779B97F4A7C15)


def uniform(seed: int, stream: int, rows: np.ndarray, count: int) -> np.ndarray:
    """(R, count) float64 in [0, 1): numbers row * count, ... of SplitMix64 (Steele et al., OOPSLA 2014).

    Args:
        stream: which of the independent sequences of this seed.
        rows: (R,) in any order, any part of the table.
    """
    start = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)
    numbers = rows.astype(np.uint64)[:, None] * np.uint64(count) + np.arange(1, count + 1, dtype=np.uint64)
    mixed: np.ndarray = start + numbers * GAMMA
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)) * 2.0**-53
