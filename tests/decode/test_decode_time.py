"""Run: pytest tests/decode/test_decode_time.py"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from higr.decode.decode_time import MEMORY, PRIOR, DecodeTime

batches = st.lists(
    st.tuples(st.integers(1, 64), st.integers(1, 40), st.floats(1e-4, 10)), min_size=1, max_size=30
)


def told(measured: list[tuple[int, int, float]]) -> DecodeTime:
    time = DecodeTime()
    for rows, positions, seconds in measured:
        time.observe(rows, positions, seconds)
    return time


@given(measured=batches, rows=st.integers(1, 128), positions=st.integers(1, 80))
def test_it_is_the_weighted_ridge_fit_of_the_logarithms(
    measured: list[tuple[int, int, float]], rows: int, positions: int
) -> None:
    logs = np.log(np.array(measured))
    weights = MEMORY ** np.arange(len(logs))[::-1]
    weights /= weights.sum()
    mean = weights @ logs
    x, y = (logs - mean)[:, :2], (logs - mean)[:, 2]
    # The prior is two more observations that say: both powers are 1.
    powers, *_ = np.linalg.lstsq(
        np.vstack([x * np.sqrt(weights)[:, None], np.eye(2) * np.sqrt(PRIOR)]),
        np.append(y * np.sqrt(weights), np.full(2, np.sqrt(PRIOR))),
        rcond=None,
    )
    expected = np.exp(mean[2] + powers.clip(0, 1) @ (np.log([rows, positions]) - mean[:2]))
    assert told(measured).expected(rows, positions) == pytest.approx(expected, rel=1e-6)


@given(measured=batches, rows=st.integers(1, 100), positions=st.integers(1, 80))
def test_more_takes_no_less_and_at_most_in_proportion(
    measured: list[tuple[int, int, float]], rows: int, positions: int
) -> None:
    time = told(measured)
    here = time.expected(rows, positions)
    for more, share in (
        (time.expected(rows + 1, positions), (rows + 1) / rows),
        (time.expected(rows, positions + 1), (positions + 1) / positions),
    ):
        assert here * (1 - 1e-9) <= more <= here * share * (1 + 1e-9)
    assert time.safe(rows, positions) >= here


def test_nothing_measured_takes_no_time() -> None:
    assert DecodeTime().expected(4, 10) == DecodeTime().safe(4, 10) == 0


def test_sizes_that_never_varied_are_scaled_in_proportion() -> None:
    time = told([(2, 5, 0.01)] * 3)
    assert time.expected(2, 5) == pytest.approx(0.01)
    assert time.expected(8, 10) == pytest.approx(0.08)
    assert time.safe(2, 5) == pytest.approx(0.01)


def test_varied_sizes_show_what_company_costs() -> None:
    rng = np.random.default_rng(0)
    sizes = zip(rng.integers(1, 17, 200), rng.integers(1, 41, 200), strict=True)
    time = told([(int(n), int(m), 0.004 * m * n**0.4) for n, m in sizes])
    assert time.expected(16, 10) == pytest.approx(0.04 * 16**0.4, rel=0.1)
    assert time.expected(1, 40) == pytest.approx(0.16, rel=0.1)


def test_a_stall_moves_the_expectation_little_and_is_forgotten() -> None:
    time = told([(1, 10, 0.01)] * 50)
    time.observe(1, 10, 5.0)
    assert time.expected(1, 10) < 0.02
    assert time.safe(1, 10) < 0.03
    for _ in range(60):
        time.observe(1, 10, 0.01)
    assert time.safe(1, 10) == pytest.approx(0.01, rel=0.1)


def test_a_slow_first_batch_is_outvoted_by_the_next_three() -> None:
    time = told([(1, 10, 5.0), *[(1, 10, 0.01)] * 3])
    assert time.expected(1, 10) < 0.05


def test_a_machine_that_became_slower_is_noticed() -> None:
    time = told([(1, 10, 0.01)] * 50 + [(1, 10, 0.03)] * 30)
    assert time.expected(1, 10) == pytest.approx(0.03, rel=0.1)


def test_forgetting_begins_anew() -> None:
    time = told([(1, 10, 5.0), (4, 10, 7.0)])
    time.forget()
    assert time.safe(1, 10) == 0
    time.observe(2, 10, 0.01)
    assert time.safe(4, 10) == pytest.approx(0.02)
