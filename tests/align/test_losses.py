"""Run: pytest tests/align"""

import math

import pytest
import torch

from higr.align.losses import log_odds, orpo_loss


@pytest.mark.parametrize("p", [1e-9, 0.01, 0.5, 0.9, 0.999])
def test_log_odds_by_definition(p: float) -> None:
    value = log_odds(torch.tensor([math.log(p)], dtype=torch.float64))
    assert value.item() == pytest.approx(math.log(p) - math.log1p(-p), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("log_p", [0.0, -1e-12, -100.0, -1e4])
def test_log_odds_stay_finite_with_finite_gradients(log_p: float) -> None:
    x = torch.tensor([log_p], requires_grad=True)
    value = log_odds(x)
    value.backward()
    assert torch.isfinite(value).all()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_orpo_loss_by_hand() -> None:
    chosen = torch.log(torch.tensor([[0.5, 0.8, 0.9]]))
    rejected = torch.log(torch.tensor([[0.5, 0.2, 0.9]]))
    mask = torch.tensor([[True, True, False]])
    loss, margin = orpo_loss(chosen, rejected, mask, alpha=0.3)
    nll = -math.log(0.5) - math.log(0.8)
    by_hand = math.log(0.8 / 0.2) - math.log(0.2 / 0.8)
    assert margin.item() == pytest.approx(by_hand, rel=1e-5)
    assert loss.item() == pytest.approx(nll - 0.3 * math.log(1 / (1 + math.exp(-by_hand))), rel=1e-5)


def test_orpo_gradient_equals_finite_differences() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    codes = torch.randint(0, 5, (2, 3, 4))
    mask = torch.tensor([[True] * 4, [True] * 4, [True, True, False, False]])

    def loss(x: torch.Tensor) -> torch.Tensor:
        log_probs = x.log_softmax(-1).gather(-1, codes[..., None])[..., 0]
        nll = -(log_probs[0] * mask).sum(1)
        odds = log_probs - torch.log1p(-log_probs.exp())
        margin = ((odds[0] - odds[1]) * mask).sum(1)
        return (nll - 0.2 * torch.nn.functional.logsigmoid(margin)).mean()

    assert torch.autograd.gradcheck(loss, (logits,))
    expected = torch.autograd.grad(loss(logits), logits)[0]
    log_probs = logits.log_softmax(-1).gather(-1, codes[..., None])[..., 0]
    actual = torch.autograd.grad(orpo_loss(log_probs[0], log_probs[1], mask, 0.2)[0].mean(), logits)[0]
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


def test_a_pair_that_only_fills_up_a_batch_has_no_loss_and_no_gradient() -> None:
    chosen = torch.log(torch.full((2, 3), 0.4)).requires_grad_()
    mask = torch.tensor([[True, True, True], [False, False, False]])
    losses, _ = orpo_loss(chosen, torch.log(torch.full((2, 3), 0.3)), mask, alpha=0.5)
    losses.sum().backward()
    assert losses[0] > 0 == losses[1].item()
    assert chosen.grad is not None
    assert chosen.grad[1].tolist() == [0, 0, 0]


def test_raising_the_chosen_and_lowering_the_rejected_lowers_the_loss() -> None:
    mask = torch.ones(1, 2, dtype=torch.bool)
    even = torch.log(torch.tensor([[0.3, 0.3]]))
    better, worse = torch.log(torch.tensor([[0.4, 0.4]])), torch.log(torch.tensor([[0.2, 0.2]]))
    start = orpo_loss(even, even, mask, 0.5)[0]
    assert orpo_loss(better, even, mask, 0.5)[0] < start
    assert orpo_loss(even, worse, mask, 0.5)[0] < start
