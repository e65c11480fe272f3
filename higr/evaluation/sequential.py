"""Intervals that hold at every look, however often one looks and whenever one stops.

An interval for a sample of fixed size is wrong more often the more often it is looked at: whoever stops as
soon as it leaves out zero will see it do so in the end. The bounds here hold at all times at once, with
probability 1 - alpha.

- `rate_bounds`: of a rate, from counts alone; exact at any size. The ratio of a mixture's likelihood to that
  of a rate is a martingale under it, so it ever reaches 1 / alpha with probability alpha at most (Ville;
  Robbins, "Statistical methods related to the law of the iterated logarithm", 1970). The mixture is Beta(1/2,
  1/2), the beta-binomial of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic
  confidence sequences" (2021), section 3.2.
- `contrast_bounds`: of a difference of means, from sums and sums of squares. The one-sided normal mixture of
  Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic
  confidence sequences" (2024), section 2 and its appendix of one-sided bounds. It holds asymptotically, as a
  t interval does: look at it from some hundred observations on.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

MAX_STEPS = 100
"""Of Newton's method; ten are needed as a rule, forty from beside 0 or 1."""
LEAST_OF_STRATUM = 30
"""Observations of either side, before which a stratum's variances say nothing."""


@dataclass(frozen=True)
class Moments:
    """Observations of one side: how many, their sum, and the sum of their squares."""

    n: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.n if self.n else math.nan

    @property
    def variance(self) -> float:
        """Of one observation, unbiased."""
        if self.n < 2:
            return math.nan
        return max(0.0, (self.squares - self.total * self.total / self.n) / (self.n - 1))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)


def rate_bounds(hits: float, n: float, alpha: float) -> tuple[float, float]:
    """Bounds of the rate of which `n` trials showed `hits`; (0, 1) before the first trial.

    Raises:
        ValueError: alpha is not within 0 and 1, or more hits than trials.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; give one between 0 and 1")
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n} trials; give from 0 to as many as there were trials")
    if n == 0:
        return 0.0, 1.0
    mixture = _log_beta(hits + 0.5, n - hits + 0.5) - _log_beta(0.5, 0.5)
    # {p: log mixture - log likelihood(p) < log 1/alpha}; convex in p, with its least at hits / n.
    level = mixture + math.log(alpha)
    low = _root(hits, n, level, -1)
    high = _root(hits, n, level, +1)
    return low, high


def rate_difference_bounds(
    first: tuple[float, float], second: tuple[float, float], alpha: float
) -> tuple[float, float]:
    """Bounds of the first rate less the second, each given as (hits, trials).

    Either bound alone fails with probability alpha at most: each rate takes half of it.
    """
    low_first, high_first = rate_bounds(*first, alpha / 2)
    low_second, high_second = rate_bounds(*second, alpha / 2)
    return low_first - high_second, high_first - low_second


def contrast_bounds(
    strata: Iterable[tuple[Moments, Moments]], *, scale: float, alpha_low: float, alpha_high: float, at: float
) -> tuple[float, float]:
    """Bounds of scale * mean(first) - mean(second), over strata of (first, second).

    A stratum is a time in which both sides had constant shares of the traffic. Its estimate d_k has the
    variance V_k; the estimates are weighed by 1 / V_k. The sum of d_k / V_k over all strata moves as a
    Brownian motion whose time is the sum of 1 / V_k and whose drift is the contrast, also when a stratum ends
    because of what was seen in it. So no stratum's traffic is compared with that of another, and the bound of
    the motion holds at all of its times. Strata with fewer than `LEAST_OF_STRATUM` observations of a side say
    nothing yet, nor do those without any variance.

    Args:
        alpha_low, alpha_high: chances that the contrast is ever below the first bound, or above the second.
        at: observations of either side at which the bounds are to be tightest. Chosen before looking.

    Returns:
        (-inf, inf) while no stratum says anything.
    """
    information, moved, spread, n = 0.0, 0.0, 0.0, 0.0
    for first, second in strata:
        if min(first.n, second.n) < LEAST_OF_STRATUM:
            continue
        variance = scale**2 * first.variance / first.n + second.variance / second.n
        if variance <= 0:
            continue
        information += 1 / variance
        moved += (scale * first.mean - second.mean) / variance
        spread += (scale**2 * first.variance + second.variance) * (first.n + second.n)
        n += first.n + second.n
    if not information:
        return -math.inf, math.inf
    # In units of one observation of each side, so that `at` means the same whatever is measured.
    unit = spread / n
    estimate, time = moved / information, information * unit
    half = math.sqrt(unit)
    return (
        estimate - half * _one_sided_width(time, at, alpha_low),
        estimate + half * _one_sided_width(time, at, alpha_high),
    )


def _one_sided_width(time: float, at: float, alpha: float) -> float:
    """Distance of the bound from a mean of variance 1 / time, tightest near `at`."""
    doubled = min(2 * alpha, 0.999)
    prior = at / (-2 * math.log(doubled) + math.log(-2 * math.log(doubled) + 1))
    boundary = 2 * (time + prior) * math.log1p(math.sqrt((time + prior) / prior) / (2 * alpha))
    return math.sqrt(boundary) / time


def _root(hits: float, n: float, level: float, side: int) -> float:
    """Where hits log p + (n - hits) log(1 - p) falls to `level`, below (-1) or above (+1) hits / n."""
    misses = n - hits
    if (side < 0 and not hits) or (side > 0 and not misses):
        return 0.0 if side < 0 else 1.0
    best = hits / n
    top = (hits * math.log(best) if hits else 0.0) + (misses * math.log(1 - best) if misses else 0.0)
    # Pinsker: the root is no further out than this. Newton on a concave function comes back from there
    # without ever stepping over it.
    p = best + side * math.sqrt((top - level) / (2 * n))
    p = min(max(p, 1e-12), 1 - 1e-12)
    for _ in range(MAX_STEPS):
        value = (hits * math.log(p) if hits else 0.0) + (misses * math.log1p(-p) if misses else 0.0)
        if abs(value - level) < 1e-9 * (1 + abs(level)):  # not by the step, which is small beside 0 and 1
            break
        p += (level - value) / (hits / p - misses / (1 - p))
    return p


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
