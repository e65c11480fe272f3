"""Bounds that hold at every look: by simulation, by hand, and by properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from higr.evaluation.sequential import (
    LEAST_OF_STRATUM,
    Moments,
    contrast_bounds,
    rate_bounds,
    rate_difference_bounds,
)

LOOKS, PER_LOOK = 1000, 10


@pytest.mark.parametrize(("rate", "alpha"), [(0.01, 0.2), (0.3, 0.2), (0.3, 0.05)])
def test_a_rate_is_within_its_bounds_at_all_of_a_thousand_looks(rate: float, alpha: float) -> None:
    """Without mending: a fixed-size interval would be left by more than half of these runs."""
    draw, runs = np.random.default_rng(7), 200
    n = np.arange(1, LOOKS + 1) * PER_LOOK
    hits = draw.binomial(PER_LOOK, rate, (runs, LOOKS)).cumsum(1)
    # A bound is left if and only if the mixture's likelihood is 1 / alpha times that of the rate; so only the
    # look at which it is most unlikely need be inverted.
    worst = np.abs(hits - n * rate) / np.sqrt(n)
    left = 0
    for run in range(runs):
        looks = np.argsort(worst[run])[-50:]
        bounds = [rate_bounds(hits[run, look], n[look], alpha) for look in looks]
        left += any(not low <= rate <= high for low, high in bounds)
    assert left / runs <= alpha
    fixed = 1.96 * math.sqrt(rate * (1 - rate))
    assert (worst.max(1) > fixed).mean() > 0.5


@pytest.mark.parametrize("looks", [1, 1000])
def test_a_difference_of_means_is_within_its_bounds(looks: int) -> None:
    """Skewed seconds, five stable slates for one of the canary, looked at from 500 of the canary's on."""
    draw, runs, alpha, first = np.random.default_rng(3), 150, 0.1, 49
    below = above = 0
    for _ in range(runs):
        sides = []
        for size in (50, 10):
            values = draw.gamma(2.0, 20.0, (LOOKS, size))
            sides.append((size, values.sum(1).cumsum(), (values**2).sum(1).cumsum()))
        places = range(first, LOOKS) if looks > 1 else [LOOKS - 1]
        seen = [
            contrast_bounds(
                [tuple(Moments(size * (at + 1), total[at], squares[at]) for size, total, squares in sides)],
                scale=1.0, alpha_low=alpha, alpha_high=alpha, at=1000,
            )
            for at in places
        ]  # fmt: skip
        below += any(low > 0 for low, _ in seen)
        above += any(high < 0 for _, high in seen)
    # Three standard errors of a share of 0.1 in 150 runs.
    assert max(below, above) / runs <= alpha + 0.073


def test_bounds_by_hand() -> None:
    # No hit in n: the mixture is Gamma(n + 1/2) / (Gamma(1/2) n!), and (1 - high)^n is its alpha-th part.
    n, alpha = 100, 0.05
    mixture = math.gamma(n + 0.5) / (math.gamma(0.5) * math.factorial(n))
    low, high = rate_bounds(0, n, alpha)
    assert low == 0
    assert high == pytest.approx(1 - (alpha * mixture) ** (1 / n))
    # One observation each of known spread: the one-sided mixture of section 2, written out.
    side = Moments(400, 400 * 5.0, 400 * 25.0 + 399 * 4.0)
    assert (side.mean, side.variance) == (5.0, pytest.approx(4.0))
    at = 300
    prior = at / (-2 * math.log(0.1) + math.log(-2 * math.log(0.1) + 1))
    time = 400.0  # eight, the variance of a pair, over that of the difference of means, 8 / 400
    width = math.sqrt(8 * 2 * (time + prior) * math.log(1 + math.sqrt((time + prior) / prior) / 0.1)) / time
    bounds = contrast_bounds([(side, side)], scale=1.0, alpha_low=0.05, alpha_high=0.05, at=at)
    assert bounds == (pytest.approx(-width), pytest.approx(width))


@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(0.001, 0.5))
def test_bounds_of_a_rate_hold_what_was_seen(hits: int, misses: int, alpha: float) -> None:
    n = hits + misses
    low, high = rate_bounds(hits, n, alpha)
    assert 0 <= low <= (hits / n if n else 0.5) <= high <= 1
    wider = rate_bounds(hits, n, alpha / 2)
    assert wider[0] <= low
    assert high <= wider[1]
    turned = rate_bounds(misses, n, alpha)
    assert turned == (pytest.approx(1 - high, abs=1e-6), pytest.approx(1 - low, abs=1e-6))


@given(st.lists(st.integers(0, 100), min_size=LEAST_OF_STRATUM, max_size=80), st.floats(0.01, 0.4))
def test_bounds_of_a_mean_have_its_unit_and_hold_the_estimate(values: list[int], alpha: float) -> None:
    def of(unit: float) -> Moments:
        return Moments(len(values), unit * sum(values), unit**2 * sum(v * v for v in values))

    bounds, longer = (
        contrast_bounds([(of(u), of(u))], scale=0.9, alpha_low=alpha, alpha_high=alpha / 2, at=100)
        for u in (1.0, 4.0)
    )
    assert bounds[0] <= -0.1 * sum(values) / len(values) <= bounds[1]
    assert longer == (pytest.approx(4 * bounds[0]), pytest.approx(4 * bounds[1]))


def test_a_stratum_is_not_compared_with_another() -> None:
    """Evening slates are watched twice as long, and the canary had more of them: it is no better for that."""

    def of(mean: float, n: int) -> Moments:
        return Moments(n, n * mean, n * (mean**2 + 4.0))

    morning, evening = (of(10, 9000), of(10, 1000)), (of(20, 5000), of(20, 5000))
    low, high = contrast_bounds([morning, evening], scale=1.0, alpha_low=0.05, alpha_high=0.05, at=1000)
    assert low < 0 < high
    pooled = [(morning[0] + evening[0], morning[1] + evening[1])]
    _, high = contrast_bounds(pooled, scale=1.0, alpha_low=0.05, alpha_high=0.05, at=1000)
    assert high < 0, "pooled, the canary seems better"


@pytest.mark.parametrize("n", [0, LEAST_OF_STRATUM - 1])
def test_few_observations_or_no_spread_say_nothing(n: int) -> None:
    few, many = Moments(n, n * 5.0, n * 30.0), Moments(1000, 5000.0, 26_000.0)
    constant = Moments(1000, 5000.0, 25_000.0)
    nothing = (-math.inf, math.inf)
    for pair in ((few, many), (many, few), (constant, constant)):
        assert contrast_bounds([pair], scale=1.0, alpha_low=0.1, alpha_high=0.1, at=100) == nothing


def test_a_difference_of_rates_takes_half_the_error_on_each_side() -> None:
    low, high = rate_difference_bounds((30, 1000), (10, 5000), 0.05)
    canary, stable = rate_bounds(30, 1000, 0.025), rate_bounds(10, 5000, 0.025)
    assert (low, high) == (canary[0] - stable[1], canary[1] - stable[0])
    assert low > 0
    assert rate_difference_bounds((0, 0), (0, 0), 0.05) == (-1.0, 1.0)


@pytest.mark.parametrize(("hits", "n", "alpha"), [(2, 1, 0.1), (-1, 1, 0.1), (0, 1, 0.0), (0, 1, 1.0)])
def test_what_cannot_be_is_refused(hits: float, n: float, alpha: float) -> None:
    with pytest.raises(ValueError, match="give"):
        rate_bounds(hits, n, alpha)
