"""Routing against a plain loop over tokens and experts. Run: pytest tests/peers/test_moe.py"""

import pytest
import torch
from torch.nn import functional as F

from higr.config import ExpertsConfig
from higr.peers.moe import MixtureOfExperts

WIDTH = 6


def experts(count: int, chosen: int) -> MixtureOfExperts:
    torch.manual_seed(0)
    return MixtureOfExperts(WIDTH, ExpertsConfig(count=count, chosen=chosen, feedforward=3))


@pytest.mark.parametrize(("count", "chosen"), [(2, 1), (5, 2), (4, 4), (24, 2)])
def test_each_token_goes_to_its_best_experts(count: int, chosen: int) -> None:
    layer = experts(count, chosen)
    x = torch.randn(4, 3, WIDTH)
    found = layer(x)
    for i in range(4):
        for j in range(3):
            token = x[i, j]
            logits = layer.router.weight @ token
            order = logits.argsort(descending=True)[:chosen]
            total = logits[order].exp().sum()
            expected = torch.zeros(WIDTH)
            for expert in order.tolist():
                rows = slice(3 * expert, 3 * expert + 3)
                gate, up = layer.gate.weight[rows], layer.up.weight[rows]
                out = layer.down.weight[:, rows] @ (F.silu(gate @ token) * (up @ token))
                expected += logits[expert].exp() / total * out
            torch.testing.assert_close(found[i, j], expected, atol=1e-5, rtol=1e-4)


def test_experts_not_chosen_learn_nothing() -> None:
    layer = experts(4, 1)
    x = torch.randn(1, WIDTH)
    chosen = int((x @ layer.router.weight.T).argmax())
    layer(x).sum().backward()
    assert layer.gate.weight.grad is not None
    norms = layer.gate.weight.grad.view(4, -1).norm(dim=1)
    assert (norms > 0).nonzero().flatten().tolist() == [chosen]


def test_balance_by_hand() -> None:
    """Two of three tokens count; both choose expert 0."""
    layer = experts(2, 1)
    with torch.no_grad():
        layer.router.weight.zero_()
        layer.router.weight[:, 0] = torch.tensor([3.0, 0.0]).exp().log()
    x = torch.zeros(3, WIDTH)
    x[:, 0] = torch.tensor([1.0, 2.0, -5.0])
    layer.train()(x)
    high = (torch.tensor([3.0]).sigmoid() + torch.tensor([6.0]).sigmoid()) / 2
    assert layer.balance(torch.tensor([True, True, False])).item() == pytest.approx(2 * high.item())


def test_balance_is_one_where_experts_are_alike_and_pulls_towards_it() -> None:
    layer = experts(2, 1).train()
    with torch.no_grad():
        layer.router.weight.zero_()
        layer.router.weight[0, 0] = 1
    x = torch.zeros(2, WIDTH)
    x[:, 0] = torch.tensor([1.0, -1.0])
    layer(x)
    assert layer.balance(torch.ones(2, dtype=torch.bool)).item() == pytest.approx(1)
    layer(x.abs())
    layer.balance(torch.ones(2, dtype=torch.bool)).backward()
    assert layer.router.weight.grad is not None
    assert layer.router.weight.grad[0, 0] > 0  # descent lowers the crowded expert's logit


def test_balance_needs_a_forward_pass_in_training() -> None:
    layer = experts(2, 1).eval()
    layer(torch.zeros(1, WIDTH))
    with pytest.raises(RuntimeError, match="training mode first"):
        layer.balance(torch.ones(1, dtype=torch.bool))
