"""Means and differences over users and runs, where the answer is known."""

import math

import numpy as np
import pytest

from higr.errors import InputError
from higr.evaluation.bootstrap import resampled_means
from higr.evaluation.compare import Protocol, compare, paired, summary
from higr.evaluation.measured import Measured

QUICK = Protocol(resamples=300, permutations=500)


def run(values: np.ndarray | list[float], users: int = 50, **others: list[float]) -> Measured:
    count = len(values)
    return Measured(
        np.array([f"s{i}" for i in range(count)]),
        np.array([f"u{i % users}" for i in range(count)]),
        {"m": np.asarray(values, float), **{name: np.asarray(v, float) for name, v in others.items()}},
        {},
        {},
    )


def noise(seed: int, count: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=count)


def test_identical_models_do_not_differ() -> None:
    runs = [run(noise(0)), run(noise(1)), run(noise(2))]
    for left, right in ((runs[:1], runs[:1]), (runs[:1] * 3, runs[:1] * 3)):
        got = paired(left, right, QUICK)["m"]
        assert (got.mean, got.low, got.high) == (0, 0, 0)
        assert got.p_value == 1
    same = paired(runs, runs, QUICK)["m"]  # runs differ, models do not
    assert same.mean == 0
    assert same.low < 0 < same.high
    assert same.p_value > 0.5


def test_a_constant_shift_is_found_exactly() -> None:
    base = noise(0)
    got = paired([run(base + 10.5)], [run(base + 10)], QUICK)["m"]
    assert (got.mean, got.low, got.high) == pytest.approx((0.5, 0.5, 0.5))
    assert got.p_value == pytest.approx(1 / 501)
    assert got.ratio is not None
    assert got.ratio.mean == pytest.approx((10.5 + base.mean()) / (10 + base.mean()))
    assert got.ratio.low <= got.ratio.mean <= got.ratio.high


def test_direction_and_swap() -> None:
    left, right = [run(noise(0) + 1)], [run(noise(1))]
    forward, back = paired(left, right, QUICK)["m"], paired(right, left, QUICK)["m"]
    assert forward.mean == -back.mean
    assert (forward.low, forward.high) == pytest.approx((-back.high, -back.low))
    assert forward.p_value == back.p_value


def test_one_run_is_the_bootstrap_over_users() -> None:
    values = noise(0)
    got = summary([run(values)], QUICK)["m"]
    means = resampled_means(values[:, None], run(values).users, 300, 0)
    assert (got.low, got.high) == pytest.approx(tuple(np.quantile(means, (0.025, 0.975))))
    assert (got.mean, got.slates, got.seeds) == (pytest.approx(values.mean()), 100, 1)


def test_equal_runs_add_nothing_and_unequal_ones_widen() -> None:
    base = noise(0)
    alone, equal = summary([run(base)], QUICK)["m"], summary([run(base)] * 3, QUICK)["m"]
    assert (equal.low, equal.high) == pytest.approx((alone.low, alone.high))
    spread = summary([run(base + shift) for shift in (-1, 0, 1)], QUICK)["m"]
    assert spread.mean == pytest.approx(alone.mean)
    assert spread.high - spread.low > 2 * (alone.high - alone.low)
    assert spread.seeds == 3


def test_the_variance_of_runs_is_unbiased() -> None:
    # users all alike: only runs vary, and the bootstrap variance is that of their mean, s^2 / 3
    shifts = (0.0, 1.0, 5.0)
    means = summary([run(np.full(100, s)) for s in shifts], Protocol(resamples=20_000, confidence=0.5))
    draws = [(a + b) / 2 for a in shifts for b in shifts]
    assert np.var(draws) == pytest.approx(np.var(shifts, ddof=1) / 3)
    assert means["m"].low == pytest.approx(np.quantile(draws, 0.25), abs=0.5)
    assert means["m"].high == pytest.approx(np.quantile(draws, 0.75), abs=0.5)


def simulated(true_difference: float, runs: int, run_sd: float) -> tuple[float, float]:
    """Share of intervals that hold the difference, share of p-values at most 0.05; 60 users."""
    rng = np.random.default_rng(0)
    held = rejected = 0
    trials = 120
    for trial in range(trials):
        users = rng.normal(size=60)  # alike for both models: what pairing takes away
        left, right = (
            [
                run(users + shift + rng.normal(0, 0.5, 60) + rng.normal(0, run_sd), users=60)
                for _ in range(runs)
            ]
            for shift in (true_difference, 0.0)
        )
        got = paired(left, right, Protocol(resamples=200, permutations=200, seed=trial))["m"]
        held += got.low <= true_difference <= got.high
        rejected += got.p_value <= 0.05
    return held / trials, rejected / trials


@pytest.mark.parametrize(
    ("runs", "run_sd", "least"), [(1, 0.0, 0.88), (3, 0.0, 0.93), (3, 0.2, 0.84), (5, 0.2, 0.88)]
)
def test_intervals_hold_the_truth_and_chance_is_seldom_taken_for_more(
    runs: int, run_sd: float, least: float
) -> None:
    held, rejected = simulated(0.0, runs, run_sd)
    assert held >= least
    assert rejected <= 1 - least + 0.02


def test_a_real_difference_is_found() -> None:
    held, rejected = simulated(0.5, 3, 0.05)
    assert held > 0.88
    assert rejected > 0.95


def test_only_slates_defined_for_both_count() -> None:
    left, right = run([1.0, math.nan, 3.0, 9.0]), run([0.0, 5.0, 1.0, math.nan])
    got = paired([left], [right], QUICK)["m"]
    assert got.mean == pytest.approx((1 + 2) / 2)
    assert got.slates == 2
    assert paired([run([1.0, math.nan])], [run([math.nan, 1.0])], QUICK) == {}


def test_no_ratio_over_what_may_be_nothing() -> None:
    assert paired([run(noise(0))], [run(np.zeros(100))], QUICK)["m"].ratio is None


def test_unequal_numbers_of_runs_are_welcome() -> None:
    got = paired([run(noise(i) + 1) for i in range(3)], [run(noise(7))], QUICK)["m"]
    assert got.seeds == 1
    assert got.mean == pytest.approx(np.mean([noise(i).mean() + 1 for i in range(3)]) - noise(7).mean())


def test_p_values_are_corrected_over_the_rivals() -> None:
    base = noise(0)
    rivals = {name: [run(base - shift + noise(i + 1))] for i, (name, shift) in enumerate(
        (("near", 0.2), ("far", 2.0), ("same", 0.0))
    )}  # fmt: skip
    table = compare([run(base)], rivals, QUICK)
    raw = sorted(row["m"].p_value for row in table.values())
    assert table["far"]["m"].p_adjusted == pytest.approx(3 * raw[0])
    assert all(row["m"].p_adjusted >= row["m"].p_value for row in table.values())
    assert paired([run(base)], rivals["far"], QUICK)["m"].p_adjusted == raw[0]


def test_undefined_metrics_are_left_out() -> None:
    got = summary([run([1.0, 2.0], never=[math.nan, math.nan])], QUICK)
    assert set(got) == {"m"}


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="no run to summarise"):
        summary([])
    with pytest.raises(InputError, match="1 runs against 0"):
        paired([run([1.0])], [])
    with pytest.raises(InputError, match="run 1 is of 3 slates and run 0 of 2, 2 of them the same"):
        paired([run([1.0, 2.0])], [run([1.0, 2.0, 3.0])])
    other = run([1.0, 2.0], extra=[0.0, 0.0])
    with pytest.raises(InputError, match="do not both have extra"):
        summary([run([1.0, 2.0]), other])
