"""Residual k-means: plain against faiss's error, balanced against its own promise."""

import faiss
import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from higr.tokenizer.residual_kmeans import CELLS, _settle, evenly, fair_prices, fit_residual_kmeans
from tests.tokenizer.worlds import clusters


def skewed(count: int, seed: int = 0) -> np.ndarray:
    """Half of all points in one place: plain k-means gives it few codewords and most items."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 6))
    rows[: count // 2] *= 0.1
    return rows.astype(np.float32)


def test_error_is_no_worse_than_that_of_faiss() -> None:
    rows = skewed(2000)
    ours = fit_residual_kmeans(rows, 2, 16, seed=0).encode(rows).errors.mean()
    oracle = faiss.ResidualQuantizer(6, 2, 4)
    oracle.max_beam_size = 1
    oracle.train(rows)
    theirs = ((rows - oracle.decode(oracle.compute_codes(rows))) ** 2).sum(axis=1).mean()
    assert ours < 1.05 * theirs


@pytest.mark.parametrize("count", [640, 1000])
def test_every_codeword_of_every_level_takes_its_share(count: int) -> None:
    rows = skewed(count)
    codes = fit_residual_kmeans(rows, 3, 16, seed=0, balanced=True).encode(rows).codes
    plain = fit_residual_kmeans(rows, 3, 16, seed=0).encode(rows).codes
    for level in range(3):
        counts = np.bincount(codes[:, level], minlength=16)
        assert counts.max() <= 1.1 * count / 16
        assert counts.min() >= 0.9 * count / 16
    assert np.bincount(plain[:, 0], minlength=16).max() > 1.5 * count / 16


def test_prices_are_those_of_the_cheapest_balanced_assignment() -> None:
    """Against the Hungarian algorithm with every codeword standing there 10 times."""
    rng = np.random.default_rng(1)
    points, centres = rng.normal(size=(50, 3)), rng.normal(size=(5, 3))
    cost = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
    rows, columns = linear_sum_assignment(np.repeat(cost, 10, axis=1))
    best = cost[rows, columns // 10].sum()
    prices = fair_prices(torch.from_numpy(points), torch.from_numpy(centres), torch.zeros(5)).numpy()
    code = (cost + prices).argmin(axis=1)
    counts = np.bincount(code, minlength=5)
    assert np.abs(counts - 10).max() <= 1
    assert cost[np.arange(50), code].sum() == pytest.approx(best, rel=0.05)


def test_points_that_pay_the_same_keep_no_others_from_being_shared_out() -> None:
    """60 points on a line, three centres, 20 a codeword; points 19 and 20 are one, and go together."""
    places = np.linspace(0, 0.6, 60)
    places[20] = places[19]
    cost = (places[:, None] - np.arange(3.0)[None]) ** 2
    prices = _settle(cost, np.zeros(3), 20)
    counts = np.bincount((cost + prices).argmin(axis=1), minlength=3)
    assert counts.sum() == 60
    assert counts.max() <= 21
    assert counts.min() >= 18


def test_points_of_equal_content_stay_with_one_codeword_and_the_others_share_the_rest() -> None:
    """30 of 60 points are one: more than a codeword's share, and no price could part them."""
    places = np.concatenate([np.zeros(30), np.linspace(0.1, 0.6, 30)])
    cost = (places[:, None] - np.arange(3.0)[None]) ** 2
    counts = np.bincount((cost + _settle(cost, np.zeros(3), 20)).argmin(axis=1), minlength=3)
    assert counts[0] == 30
    assert counts[1:].max() <= 20


def test_new_items_are_placed_by_the_same_rule() -> None:
    rows, _ = clusters(800)
    quantizer = fit_residual_kmeans(rows[:400], 2, 8, seed=0, balanced=True)
    new = rows[400:]
    found = quantizer.encode(new)
    cost = ((new[:, None] - quantizer.codebooks[0][None]) ** 2).sum(axis=2) + quantizer.prices[0]
    assert (found.codes[:, 0] == cost.argmin(axis=1)).mean() > 0.99  # but for ties in the last bit
    one_by_one = np.concatenate([quantizer.encode(new[i : i + 1]).codes for i in range(50)])
    assert np.array_equal(one_by_one, found.codes[:50])
    assert np.bincount(found.codes[:, 0], minlength=8).max() < 2 * len(new) / 8


def test_a_fit_looks_at_no_more_rows_than_memory_holds() -> None:
    many = np.broadcast_to(np.float32(0), (10_000_000, 1))
    for size in (64, 256, 1024, 8192):
        plain, balanced = (len(evenly(many, size, balanced=shared)) for shared in (False, True))
        assert plain <= 256 * size
        assert 2 * size * 0.9 <= balanced <= plain
        assert balanced * size <= max(CELLS, 2 * size * size)


def test_plain_prices_are_zero() -> None:
    rows, _ = clusters(100)
    assert not fit_residual_kmeans(rows, 2, 8, seed=0).prices.any()
