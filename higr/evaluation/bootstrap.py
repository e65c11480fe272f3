"""How sure a mean is: percentile bootstrap over users (Efron, 1979).

Slates of one user are alike, so users are drawn, not slates; a user drawn twice counts with all
slates twice. The same seed and users give the same draws for every model: differences are paired.
Where a model was trained several times, runs are drawn as well.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from higr.config import Section

BLOCK = 64
"""Resamples drawn at once: bounds memory."""


class Interval(Section):
    """A mean and the percentile interval of its resamples."""

    mean: float
    low: float
    high: float
    slates: int = Field(description="slates for which the metric is defined")
    seeds: int = Field(1, description="training runs the mean is over")

    def above(self, other: "Interval") -> bool:
        """Whether this interval lies wholly above the other."""
        return self.low > other.high


def resampled_means(
    values: np.ndarray, users: Sequence[str] | np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    """(R, J) means over slates, one row a resample of users.

    Args:
        values: (S, J) one column a metric; NaN does not count.
        users: user of each slate.
        resamples: R.
    """
    _, owner = np.unique(np.asarray(users, dtype=str), return_inverse=True)
    people = int(owner.max(initial=-1)) + 1
    defined = ~np.isnan(values)
    total, count = np.zeros((people, values.shape[1])), np.zeros((people, values.shape[1]))
    np.add.at(total, owner, np.where(defined, values, 0.0))
    np.add.at(count, owner, defined)
    both = np.concatenate((total, count), axis=1)  # (U, 2J)
    rng = np.random.default_rng(seed)
    means = []
    for low in range(0, resamples, BLOCK):
        block = min(BLOCK, resamples - low)
        drawn = rng.integers(people, size=(block, people))
        cell = drawn + people * np.arange(block)[:, None]
        times = np.bincount(cell.ravel(), minlength=block * people).reshape(block, people)
        sums, counts = np.split(times.astype(np.float64) @ both, 2, axis=1)
        means.append(np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0))
    return np.concatenate(means)


def resampled_runs(means: np.ndarray, seed: int) -> np.ndarray:
    """(R, J) means over runs and users, from (R, E, J) means of E training runs over the same users.

    Users and runs are crossed, not nested: both are resampled, each by itself (the pigeonhole bootstrap,
    Owen, 2007). Of E runs E - 1 are drawn, which makes the variance that they add unbiased (Rao and Wu,
    1988); a single run stands for itself and adds none.
    """
    resamples, runs, _ = means.shape
    drawn = np.random.default_rng((seed, runs)).integers(runs, size=(resamples, max(runs - 1, 1)))
    return np.asarray(np.take_along_axis(means, drawn[:, :, None], axis=1).mean(axis=1))


def interval(mean: float, means: np.ndarray, slates: int, confidence: float, seeds: int = 1) -> Interval:
    """The percentile interval of (R,) resampled means; `confidence` is the share of them inside."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(means, (tail, 1 - tail))
    return Interval(mean=mean, low=float(low), high=float(high), slates=slates, seeds=seeds)
