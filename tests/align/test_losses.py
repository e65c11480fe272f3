"""Run: pytest tests/align"""

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from higr.align.losses import (
    PairLosses,
    dpo_loss,
    f_grpo_loss,
    group_advantages,
    log_odds,
    orpo_length_averaged_loss,
    orpo_loss,
    simpo_loss,
)

MASK = torch.tensor([[True, True, False]])
CHOSEN = torch.log(torch.tensor([[0.5, 0.8, 0.9]], dtype=torch.float64))
REJECTED = torch.log(torch.tensor([[0.5, 0.2, 0.9]], dtype=torch.float64))

LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], PairLosses]] = {
    "orpo": lambda chosen, rejected, mask: orpo_loss(chosen, rejected, mask, alpha=0.3),
    "orpo_length_averaged": lambda chosen, rejected, mask: orpo_length_averaged_loss(
        chosen, rejected, mask, alpha=0.3
    ),
    "dpo": lambda chosen, rejected, mask: dpo_loss(
        chosen, rejected, torch.full_like(chosen, -1.5), torch.full_like(chosen, -0.5), mask, beta=0.4
    ),
    "simpo": lambda chosen, rejected, mask: simpo_loss(chosen, rejected, mask, beta=2.0, margin=0.5),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def odds(p: float) -> float:
    return math.log(p / (1 - p))


@pytest.mark.parametrize("p", [1e-30, 1e-9, 0.01, 0.4999, 0.5001, 0.9, 0.999])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_log_odds_by_definition(p: float, dtype: torch.dtype, error: float) -> None:
    value = log_odds(torch.tensor([math.log(p)], dtype=dtype))
    assert value.item() == pytest.approx(math.log(p) - math.log1p(-p), rel=error, abs=error)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("log_p", [0.0, -1e-12, -1e-4, -0.69, -0.7, -100.0, -1e4, -1e30])
def test_log_odds_stay_finite_with_finite_gradients(log_p: float, dtype: torch.dtype) -> None:
    x = torch.tensor([log_p], dtype=dtype, requires_grad=True)
    value = log_odds(x)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(value).all()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_orpo_by_hand() -> None:
    found = orpo_loss(CHOSEN, REJECTED, MASK, alpha=0.3)
    better, worse = odds(0.5) + odds(0.8), odds(0.5) + odds(0.2)
    assert found.chosen.item() == pytest.approx(better)
    assert found.rejected.item() == pytest.approx(worse)
    due = -math.log(0.5 * 0.8) - 0.3 * log_sigmoid(better - worse)
    assert found.losses.item() == pytest.approx(due)


def test_orpo_as_published_by_hand() -> None:
    found = orpo_length_averaged_loss(CHOSEN, REJECTED, MASK, alpha=0.3)
    likely, unlikely = math.sqrt(0.5 * 0.8), math.sqrt(0.5 * 0.2)
    assert found.chosen.item() == pytest.approx(odds(likely))
    assert found.rejected.item() == pytest.approx(odds(unlikely))
    due = -math.log(likely) - 0.3 * log_sigmoid(odds(likely) - odds(unlikely))
    assert found.losses.item() == pytest.approx(due)


def test_dpo_by_hand() -> None:
    reference = torch.log(torch.tensor([[0.4, 0.5, 0.1]], dtype=torch.float64))
    found = dpo_loss(CHOSEN, REJECTED, reference, reference - 1, MASK, beta=0.4)
    better = 0.4 * math.log(0.5 * 0.8 / (0.4 * 0.5))
    worse = 0.4 * (math.log(0.5 * 0.2 / (0.4 * 0.5)) + 2)
    assert found.chosen.item() == pytest.approx(better)
    assert found.rejected.item() == pytest.approx(worse)
    assert found.losses.item() == pytest.approx(-log_sigmoid(better - worse))


def test_dpo_starts_at_log_2_whatever_the_model() -> None:
    found = dpo_loss(CHOSEN, REJECTED, CHOSEN, REJECTED, MASK, beta=0.4)
    assert found.losses.item() == pytest.approx(math.log(2))


def test_simpo_by_hand() -> None:
    found = simpo_loss(CHOSEN, REJECTED, MASK, beta=2.0, margin=0.5)
    better, worse = math.log(0.5 * 0.8), math.log(0.5 * 0.2)  # beta over 2 codes is 1
    assert found.chosen.item() == pytest.approx(better)
    assert found.rejected.item() == pytest.approx(worse)
    assert found.losses.item() == pytest.approx(-log_sigmoid(better - worse - 0.5))


@every_loss
def test_gradients_equal_finite_differences(loss: Callable[..., PairLosses]) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    codes = torch.randint(0, 5, (2, 3, 4))
    mask = torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])

    def losses(x: Tensor) -> Tensor:
        chosen, rejected = x.log_softmax(-1).gather(-1, codes[..., None])[..., 0]
        return loss(chosen, rejected, mask).losses

    assert torch.autograd.gradcheck(losses, (logits,))


@every_loss
@pytest.mark.parametrize("gap", [0.0, 1e-3, 1.0, 40.0, 3e4])
def test_bf16_logits_give_finite_losses_and_gradients(loss: Callable[..., PairLosses], gap: float) -> None:
    """From undecided to certain beyond what the type can tell from 1, right and wrong."""
    logits = torch.tensor([[gap, 0.0], [0.0, gap]], dtype=torch.bfloat16, requires_grad=True)
    log_probs = logits.log_softmax(-1)  # of two codes, one of them as good as certain
    chosen, rejected = log_probs[:, :1].repeat(1, 6), log_probs[:, 1:].repeat(1, 6)
    found = loss(chosen, rejected, torch.ones(2, 6, dtype=torch.bool))
    found.losses.sum().backward()
    assert found.losses.dtype == torch.float32
    assert logits.grad is not None
    for values in (found.losses, found.chosen, found.rejected, logits.grad):
        assert torch.isfinite(values).all()


def test_bf16_log_probs_lose_only_what_bf16_loses() -> None:
    rounded = CHOSEN.bfloat16(), REJECTED.bfloat16()
    exact = orpo_loss(*(x.double() for x in rounded), MASK, alpha=0.3)
    torch.testing.assert_close(orpo_loss(*rounded, MASK, alpha=0.3).losses.double(), exact.losses)


@every_loss
def test_a_pair_that_only_fills_up_a_batch_has_no_loss_and_no_gradient(
    loss: Callable[..., PairLosses],
) -> None:
    chosen = torch.log(torch.full((2, 3), 0.4)).requires_grad_()
    mask = torch.tensor([[True, True, True], [False, False, False]])
    found = loss(chosen, torch.log(torch.full((2, 3), 0.3)), mask)
    found.losses.sum().backward()
    assert found.losses[0] > 0 == found.losses[1].item()
    assert chosen.grad is not None
    assert chosen.grad[0].abs().min() > 0
    assert chosen.grad[1].tolist() == [0, 0, 0]


@every_loss
def test_what_is_behind_the_end_does_not_count(loss: Callable[..., PairLosses]) -> None:
    other = CHOSEN.clone()
    other[0, 2] = -torch.inf
    assert torch.equal(loss(other, REJECTED, MASK).losses, loss(CHOSEN, REJECTED, MASK).losses)


@every_loss
def test_raising_the_chosen_and_lowering_the_rejected_lowers_the_loss(
    loss: Callable[..., PairLosses],
) -> None:
    mask = torch.ones(1, 2, dtype=torch.bool)
    even, better, worse = (torch.log(torch.tensor([[p, p]])) for p in (0.3, 0.4, 0.2))
    start = loss(even, even, mask).losses
    assert loss(better, even, mask).losses < start
    assert loss(even, worse, mask).losses < start


@pytest.mark.parametrize("length", [1, 4])
def test_length_averaged_losses_equal_trl(length: int) -> None:
    """trl 1.16 computes DPO inside of a trainer, with nothing to call; the other two have functions."""
    pytest.importorskip("trl")
    from trl.experimental.cpo.cpo_trainer import CPOTrainer
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    torch.manual_seed(0)
    chosen, rejected = -torch.rand(2, 50, length) * torch.logspace(-3, 1, 50)[:, None]
    mask = torch.ones(50, length, dtype=torch.bool)
    here = SimpleNamespace(device=torch.device("cpu"))
    orpo = SimpleNamespace(beta=0.3, accelerator=here)
    found = orpo_length_averaged_loss(chosen, rejected, mask, alpha=0.3)
    theirs = ORPOTrainer.odds_ratio_loss(orpo, chosen.mean(1), rejected.mean(1))  # beta * log sigmoid
    torch.testing.assert_close(found.losses, -chosen.mean(1) - theirs[0])
    torch.testing.assert_close((found.chosen - found.rejected).mean(), theirs[4])
    simpo = SimpleNamespace(
        beta=2.0, simpo_gamma=0.5, loss_type="simpo", label_smoothing=0.0, alpha=0.0, accelerator=here
    )
    due = CPOTrainer.cpo_loss(simpo, chosen.mean(1), rejected.mean(1))
    ours = simpo_loss(chosen, rejected, mask, beta=2.0, margin=0.5)
    for mine, other in zip((ours.losses, ours.chosen, ours.rejected), due, strict=True):
        torch.testing.assert_close(mine, other)


def test_advantages_by_hand() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.5, 0.5], [0.2, 0.2, 0.2, 0.2]])
    due = torch.tensor([[0.5, -0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(group_advantages(rewards), due)


def test_f_grpo_is_worth_minus_the_reward_and_pulls_by_the_advantages() -> None:
    log_probs = torch.full((1, 2, 4), -1.0, requires_grad=True)
    mask = torch.tensor([[[True, True, True, True], [True, True, False, False]]])
    losses = f_grpo_loss(log_probs, mask, torch.tensor([[1.0, 0.5]]))
    losses.sum().backward()
    assert losses.tolist() == [-0.75]
    # A is +1/4 and -1/4; halved by G, then by the length: 4 and 2 codes.
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [[[-1 / 32] * 4, [1 / 16, 1 / 16, 0, 0]]]


def test_f_grpo_gradient_equals_finite_differences() -> None:
    torch.manual_seed(0)
    x = -torch.rand(2, 3, 4, dtype=torch.float64)
    mask, rewards = torch.ones(2, 3, 4, dtype=torch.bool), torch.rand(2, 3, dtype=torch.float64)
    exact = x.clone().requires_grad_()
    f_grpo_loss(exact, mask, rewards).sum().backward()

    def surrogate(values: Tensor) -> Tensor:
        return -((rewards - rewards.mean(1, keepdim=True)) * values.mean(2)).mean(1).sum()

    step = 1e-6 * F.one_hot(torch.arange(24), 24).double().view(24, 2, 3, 4)
    due = torch.stack([(surrogate(x + s) - surrogate(x - s)) / 2e-6 for s in step]).view(2, 3, 4)
    torch.testing.assert_close(exact.grad, due, rtol=1e-5, atol=1e-9)
