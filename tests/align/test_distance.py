"""Run: pytest tests/align"""

import math

import pytest
import torch

from higr.align.distance import TOP, Start


def rows(count: int, width: int, seed: int, scale: float = 2.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(count, width, generator=draw)).log_softmax(dim=1)


def test_by_hand() -> None:
    start, now = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0.25, 0.25, 0.5]]).log()
    by_hand = 0.5 * math.log(2) + 0.25 * math.log(0.5)
    assert Start.of(start).divergence(now).item() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("width", [2, TOP - 1, TOP])
def test_exact_where_all_codewords_are_kept(width: int) -> None:
    start, now = rows(20, width, 0), rows(20, width, 1)
    expected = torch.nn.functional.kl_div(now, start, log_target=True, reduction="none").sum(dim=1)
    torch.testing.assert_close(Start.of(start).divergence(now), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(Start.of(start).divergence(start), torch.zeros(20), rtol=0, atol=1e-6)


@pytest.mark.parametrize("width", [TOP + 1, 300, 8192])
def test_with_more_codewords_the_others_count_as_one(width: int) -> None:
    start, now = rows(20, width, 0), rows(20, width, 1)
    kept = Start.of(start)
    found = kept.divergence(now)
    p, q = start.double().exp(), now.double().exp()
    for row in range(20):
        top = p[row].argsort(descending=True)[:TOP]
        merged = [
            torch.cat([part[row][top], (part[row].sum() - part[row][top].sum())[None]]) for part in (p, q)
        ]
        assert found[row].item() == pytest.approx(
            float((merged[0] * (merged[0] / merged[1]).log()).sum()), rel=1e-3, abs=1e-5
        )
    whole = (p * (p / q).log()).sum(dim=1)
    assert (found <= whole + 1e-5).all()
    assert kept.divergence(start).abs().max() < 1e-5


def test_probabilities_of_nought_stay_finite() -> None:
    start = torch.full((1, 100), -1e4)
    start[0, :2] = math.log(0.5)
    now = start.flip(1)
    assert torch.isfinite(Start.of(start).divergence(now)).all()


def test_it_is_small_and_parts_make_the_whole() -> None:
    whole = Start.of(rows(7500, 256, 0))  # 500 slates of five items of three codes
    assert whole.bytes == 7500 * (TOP * 6 + 4) < 3e6
    parts = Start.concatenate([Start.of(rows(7500, 256, 0)[:100]), Start.of(rows(7500, 256, 0)[100:])])
    assert torch.equal(parts.codewords, whole.codewords)
    assert torch.equal(parts[50:150].log_probs, whole.log_probs[50:150])
