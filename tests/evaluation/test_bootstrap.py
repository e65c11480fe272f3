"""The bootstrap: exact where it can be, close to theory elsewhere, paired, seeded."""

import numpy as np
import pytest

from higr.evaluation.bootstrap import Interval, interval, resampled_means


def test_one_user_leaves_nothing_to_chance() -> None:
    values = np.array([[1.0, np.nan], [0.0, 0.5]])
    assert resampled_means(values, ["u", "u"], 7, 0).tolist() == [[0.5, 0.5]] * 7


def test_users_are_drawn_with_all_their_slates() -> None:
    values = np.array([[1.0], [1.0], [1.0], [0.0]])
    means = resampled_means(values, ["a", "a", "a", "b"], 400, 0)
    # two users drawn from two: both (3/4), a twice (1) or b twice (0)
    seen, counts = np.unique(means, return_counts=True)
    assert seen.tolist() == [0.0, 0.75, 1.0]
    assert counts / 400 == pytest.approx([0.25, 0.5, 0.25], abs=0.08)


def test_undefined_values_do_not_count() -> None:
    values = np.array([[1.0], [np.nan], [0.0]])
    means = resampled_means(values, ["a", "b", "c"], 300, 1)
    ratios = {round(float(value), 6) for value in means[~np.isnan(means)]}
    assert ratios <= {0.0, 0.333333, 0.5, 0.666667, 1.0}
    assert np.isnan(means).any()  # b drawn three times


def test_width_is_that_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 2.0, size=(2000, 1))
    means = resampled_means(values, [str(i) for i in range(2000)], 1000, 0)
    got = interval(float(values.mean()), means[:, 0], 2000, 0.95)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert got.low == pytest.approx(got.mean - half, abs=0.15 * half)
    assert got.high == pytest.approx(got.mean + half, abs=0.15 * half)


def test_same_seed_same_draws_so_that_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    users = [str(i % 40) for i in range(200)]
    base = rng.random((200, 1))
    left, right = (resampled_means(v, users, 150, 5) for v in (base + 0.01, base))
    assert left - right == pytest.approx(np.full((150, 1), 0.01))
    assert not np.array_equal(right, resampled_means(base, users, 150, 6))


def test_column_order_and_company_do_not_matter() -> None:
    values = np.random.default_rng(0).random((50, 3))
    users = [str(i % 9) for i in range(50)]
    together = resampled_means(values, users, 100, 0)
    assert together[:, [1]] == pytest.approx(resampled_means(values[:, [1]], users, 100, 0))


@pytest.mark.parametrize(("low", "expected"), [(0.31, True), (0.30, False), (0.2, False)])
def test_above_means_apart(low: float, expected: bool) -> None:
    other = Interval(mean=0.2, low=0.1, high=0.3, slates=1)
    assert Interval(mean=0.4, low=low, high=0.5, slates=1).above(other) is expected
