"""Run: pytest tests/align"""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from higr.align.base import code_log_probs
from higr.align.losses import f_grpo_loss
from higr.align.rollouts import Rollouts, draw_orders, draw_slates
from higr.catalog import Catalog
from higr.eligibility import Exclusions
from higr.model.higr import Context, HiGR
from higr.prefix_tree import PrefixTree
from higr.training.targets import PADDING
from tests.align.small import SLATE, catalog, contexts, exact_log_prob, model

CATALOG = catalog()
CODES = CATALOG.code_tensor
EVERYTHING = list(range(len(CATALOG)))


def drawn(net: HiGR, context: Context, items: Catalog, count: int, size: int, seed: int = 0) -> Rollouts:
    exclusions = Exclusions(items.tree, [()] * (count * len(context.mask)), strikes=size)
    noise = torch.Generator().manual_seed(seed)
    return draw_slates(net, context, exclusions, items.code_tensor, size, noise)


def agrees(items: Tensor, due: dict[tuple[int, ...], float]) -> bool:
    """Chi-square at 0.1 %: whether slates (G, M) are draws from `due`."""
    assert sum(due.values()) == pytest.approx(1, abs=1e-5)
    seen = Counter(map(tuple, items.tolist()))
    assert seen.keys() <= due.keys()
    common = [slate for slate, p in due.items() if p * len(items) >= 5]
    rest = [slate for slate in due if slate not in common]
    observed = [seen[slate] for slate in common] + [sum(seen[slate] for slate in rest)]
    expected = [due[slate] * len(items) for slate in common] + [sum(due[s] for s in rest) * len(items)]
    if not rest:
        observed, expected = observed[:-1], expected[:-1]
    scale = sum(observed) / sum(expected)
    return bool(chisquare(observed, np.array(expected) * scale).pvalue > 1e-3)


@pytest.mark.parametrize("shared", [True, False])
def test_slates_are_drawn_from_the_models_own_distribution(shared: bool) -> None:
    net = model(shared_generator=shared).eval()
    two = contexts(2)
    found = drawn(net, net.encode(two, CODES), CATALOG, 4000, 2)
    assert found.items.shape == (2, 4000, 2)
    for row in range(2):
        with torch.no_grad():
            due = {
                slate: exact_log_prob(net, two[row : row + 1], CODES, list(slate), EVERYTHING).exp().item()
                for slate in permutations(EVERYTHING, 2)
            }
        assert max(due.values()) > 4 / len(due)  # far from uniform
        assert agrees(found.items[row], due)
        assert not agrees(found.items[1 - row], due)  # each context has its own


def test_orders_are_drawn_from_the_model_restricted_to_the_positive() -> None:
    net, one = model().eval(), contexts(1)
    positive = torch.tensor([[4, 0, 5]])
    with torch.no_grad():
        noise = torch.Generator().manual_seed(0)
        found = draw_orders(net, net.encode(one, CODES), positive, CODES, 3000, noise)
        due = {
            order: exact_log_prob(net, one, CODES, list(order), [0, 4, 5]).exp().item()
            for order in permutations([0, 4, 5])
        }
    assert max(due.values()) > 2 / len(due)
    assert agrees(found.items[0], due)


@pytest.mark.parametrize("shared", [True, False])
def test_the_log_probability_of_a_draw_is_that_of_its_distribution(shared: bool) -> None:
    net, two = model(shared_generator=shared).eval(), contexts(2)
    positive = torch.tensor([[4, 0, PADDING], [1, 2, 3]])
    context = net.encode(two, CODES)
    slates = drawn(net, context, CATALOG, 5, 2)
    orders = draw_orders(net, context, positive, CODES, 5)
    together = slates.join(orders)
    log_probs, mask = code_log_probs(net, context, together.items, CODES, together.allowed)
    total = (log_probs * mask).sum(dim=2)
    for row in range(2):
        known = [item for item in positive[row].tolist() if item != PADDING]
        for column in range(10):
            slate = [item for item in together.items[row, column].tolist() if item != PADDING]
            due = exact_log_prob(net, two[row : row + 1], CODES, slate, EVERYTHING if column < 5 else known)
            torch.testing.assert_close(total[row, column], due)


@pytest.mark.parametrize("size", [1, 3])
def test_no_item_twice_and_nothing_behind_the_last_eligible_one(size: int) -> None:
    few = catalog(2)
    net = model().eval()
    read = contexts(3, items=2)
    found = drawn(net, net.encode(read, few.code_tensor), few, 50, size).items
    for slate in found.flatten(0, 1).tolist():
        there = [item for item in slate if item != PADDING]
        assert len(there) == min(size, 2) == len(set(there))
        assert slate[len(there) :] == [PADDING] * (size - len(there))


def test_items_of_one_semantic_id_are_drawn_one_after_another() -> None:
    codes = np.array([[0, 0], [0, 0], [2, 1]])
    twins = Catalog.build(["a", "b", "c"], codes, 3, priority=np.array([1.0, 2.0, 3.0]))
    net = model().eval()
    found = drawn(net, net.encode(contexts(1, items=3), twins.code_tensor), twins, 60, 3).items[0]
    b, a = twins.position["b"], twins.position["a"]
    orders = {tuple(slate) for slate in found.tolist()}
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2)}
    assert all(order.index(b) < order.index(a) for order in orders)
    assert len(orders) > 1


def test_positives_of_other_lengths_and_none_at_all() -> None:
    net = model().eval()
    positive = torch.tensor([[3, PADDING, PADDING], [PADDING] * 3, [5, 1, 2]])
    context = net.encode(contexts(3), CODES)
    found = draw_orders(net, context, positive, CODES, 4).items
    assert found[0].tolist() == [[3, PADDING, PADDING]] * 4
    assert found[1].tolist() == [[PADDING] * 3] * 4
    assert all(sorted(order) == [1, 2, 5] for order in found[2].tolist())
    nothing = draw_orders(net, context, torch.full((3, 2), PADDING), CODES, 4)
    assert (nothing.items == PADDING).all()


def test_draws_are_the_same_for_the_same_seed_whatever_the_layout_of_the_tree() -> None:
    net = model().eval()
    context = net.encode(contexts(2), CODES)
    first = drawn(net, context, CATALOG, 20, SLATE, seed=3)
    assert torch.equal(first.items, drawn(net, context, CATALOG, 20, SLATE, seed=3).items)
    assert not torch.equal(first.items, drawn(net, context, CATALOG, 20, SLATE, seed=4).items)
    csr = Exclusions(PrefixTree(CATALOG.codes, 3, layout="csr"), [()] * 40, strikes=SLATE)
    other = draw_slates(net, context, csr, CODES, SLATE)
    log_probs, _ = code_log_probs(net, context, other.items, CODES, other.allowed)
    assert torch.isfinite(log_probs).all()


def test_the_gradient_is_that_of_the_expected_reward() -> None:
    """Of a mean over codes, so by 1 / (M * D) shorter."""
    net, one = model(sharp=20.0).eval(), contexts(1)
    worth = torch.tensor([0.3, 1.0, 0.0, 0.2, 0.7, 0.1])
    expected = sum(
        exact_log_prob(net, one, CODES, list(slate), EVERYTHING).exp()
        * (2 * worth[slate[0]] + worth[slate[1]])
        for slate in permutations(EVERYTHING, 2)
    )
    assert isinstance(expected, Tensor)
    weights = [net.generator.head, net.planner.decoder.blocks[0].ffn.down.weight]
    due = torch.cat([g.flatten() for g in torch.autograd.grad(expected, weights)]) / 4
    context = net.encode(one, CODES)
    found = drawn(net, context, CATALOG, 20000, 2)
    log_probs, mask = code_log_probs(net, context, found.items, CODES, found.allowed)
    rewards = worth[found.items] @ torch.tensor([2.0, 1.0])
    loss = f_grpo_loss(log_probs, mask, rewards).sum()
    assert -loss.item() == pytest.approx(expected.item(), rel=0.02)
    sampled = -torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])
    assert (sampled - due).norm() < 0.1 * due.norm()
