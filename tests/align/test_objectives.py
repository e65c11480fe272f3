"""Run: pytest tests/align"""

import copy
import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from higr.align.base import Objective, code_log_probs
from higr.align.losses import dpo_loss, orpo_length_averaged_loss, orpo_loss, simpo_loss
from higr.align.objectives import DPO, build_objective
from higr.catalog import Catalog
from higr.config import AlignConfig, SimulatorConfig, TrainingConfig, load_config
from higr.data.simulator import World
from higr.errors import InputError
from higr.model.higr import HiGR
from higr.training.batches import InMemory
from higr.training.examples import Examples
from higr.training.loop import train
from higr.training.targets import PADDING, Targets
from tests.align.small import catalog, model, pairs

CATALOG = catalog()
CODES = CATALOG.code_tensor
PAIRED = ("orpo", "orpo_length_averaged", "dpo", "simpo")
ALL = (*PAIRED, "f_grpo")
SETTINGS = TrainingConfig(
    epochs=4, batch_size=16, shards=4, learning_rate=0.003, patience=4, warmup_share=0.0
)


def built(name: str, net: HiGR | None = None, **changes: object) -> Objective:
    config = AlignConfig.model_validate({"objective": name, **changes})
    return build_objective(net or model(), CATALOG, config)


def filled_up(batch: Examples, rows: list[int]) -> Examples:
    """The same batch; `rows` have no target, as where a batch is only filled up."""
    items, numbers = batch.targets.items.clone(), batch.targets.rows.clone()
    items[rows], numbers[rows] = PADDING, -1
    return Examples(batch.contexts, Targets(numbers, items))


def alone(net: HiGR, batch: Examples, which: int) -> tuple[Tensor, Tensor]:
    """(B, M, D) log-probabilities of one of the two slates, from a forward pass of its own, and the mask."""
    items = batch.targets.items[:, which]
    slates = CODES[items.clamp(min=0)]
    log_probs = net(batch.contexts, CODES, slates).log_softmax(-1).gather(-1, slates[..., None])[..., 0]
    return log_probs.flatten(1), (items != PADDING).repeat_interleave(2, dim=1)


@pytest.mark.parametrize(
    "changes", [{}, {"shared_generator": False}, {"kv_heads": 1}, {"generator_context": False}]
)
def test_slates_of_one_context_together_equal_each_alone(changes: dict) -> None:
    net, batch = model(**changes).eval(), pairs(5)
    context = net.encode(batch.contexts, CODES)
    together, mask = code_log_probs(net, context, batch.targets.items, CODES)
    for which in range(2):
        due, present = alone(net, batch, which)
        torch.testing.assert_close(together[:, which], due)
        assert torch.equal(mask[:, which], present)


@pytest.mark.parametrize("name", PAIRED)
def test_a_pairs_loss_equals_two_passes_and_the_formula(name: str) -> None:
    net, start, batch = model(), model().eval(), pairs(6)
    objective = built(name, net)
    with torch.no_grad():
        net.generator.head.mul_(0.5)  # away from the reference
    (better, mask), (worse, _) = alone(net, batch, 0), alone(net, batch, 1)
    (was_better, _), (was_worse, _) = alone(start, batch, 0), alone(start, batch, 1)
    due = {
        "orpo": lambda: orpo_loss(better, worse, mask, 0.1),
        "orpo_length_averaged": lambda: orpo_length_averaged_loss(better, worse, mask, 0.1),
        "dpo": lambda: dpo_loss(better, worse, was_better, was_worse, mask, 0.1),
        "simpo": lambda: simpo_loss(better, worse, mask, 2.0, 0.5),
    }[name]()
    total, count = objective(batch)
    torch.testing.assert_close(total, due.losses.sum())
    assert count.item() == 6
    figures = objective.take()
    assert figures == {
        "margin": pytest.approx((due.chosen - due.rejected).mean().item(), rel=1e-4),
        "chosen": pytest.approx(due.chosen.mean().item(), rel=1e-4),
        "rejected": pytest.approx(due.rejected.mean().item(), rel=1e-4),
        "won": pytest.approx((due.chosen > due.rejected).float().mean().item()),
    }


@pytest.mark.parametrize("name", ALL)
def test_rows_that_only_fill_up_a_batch_change_nothing(name: str) -> None:
    objective, batch = built(name).eval(), pairs(6)
    total, count = objective(filled_up(batch, [1, 4]))
    with_filling = objective.take()
    kept = batch[torch.tensor([0, 2, 3, 5])]
    assert count.item() == 4
    if name == "f_grpo":  # other rows, other noise
        assert total.item() == pytest.approx(
            -4 * (with_filling["slate_reward"] + with_filling["order_reward"]), rel=1e-5
        )
    else:
        torch.testing.assert_close(total, objective(kept)[0])
        assert with_filling == pytest.approx(objective.take(), rel=1e-5)
    nothing, none = objective(filled_up(batch, list(range(6))))
    assert nothing.item() == none.item() == 0
    assert objective.take() == {}


def test_figures_are_means_since_the_last_call_and_of_one_mode() -> None:
    objective, one, two = built("orpo"), pairs(3, seed=1), pairs(5, seed=2)
    objective(one)
    first = objective.take()
    assert objective.take() == {}
    objective(two)
    second = objective.take()
    objective(one)
    objective.eval()
    objective(pairs(4, seed=3))
    objective.train()
    objective(two)
    both = objective.take()
    for name in ("margin", "chosen", "rejected", "won"):
        assert both[name] == pytest.approx((3 * first[name] + 5 * second[name]) / 8)
    objective.eval()
    assert objective.take()["margin"] != pytest.approx(both["margin"])


@pytest.mark.parametrize(("name", "encodings"), [("orpo", 1), ("simpo", 1), ("dpo", 2), ("f_grpo", 1)])
def test_one_model_is_enough_and_every_context_is_encoded_once(name: str, encodings: int) -> None:
    """DPO is the exception: it holds and asks a second model."""
    calls = []
    gc.collect()
    before = {id(thing) for thing in gc.get_objects() if type(thing) is HiGR}
    net = model()
    net.encoder.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    objective = built(name, net)
    gc.collect()
    held = [thing for thing in gc.get_objects() if type(thing) is HiGR and id(thing) not in before]
    assert len(held) == len(objective.models) == encodings
    objective(pairs(4))[0].backward()
    assert calls == [4] * encodings
    assert {id(p) for p in objective.parameters()} == {id(p) for p in net.parameters()}
    assert objective.state_dict().keys() == {f"model.{key}" for key in net.state_dict()}


def test_the_reference_is_frozen_shared_by_copies_and_as_the_model_was() -> None:
    objective = built("dpo", model(dropout=0.5))
    assert isinstance(objective, DPO)
    start = {key: value.clone() for key, value in objective.model.state_dict().items()}
    train(objective, InMemory(pairs(64), 4), None, SETTINGS, seed=0, label="align")
    trained, reference = objective.models
    assert not reference.training
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert all(torch.equal(value, start[key]) for key, value in reference.state_dict().items())
    assert not torch.equal(trained.generator.head, start["generator.head"])
    other = copy.deepcopy(objective)
    assert other.models[1] is reference
    assert other.models[0] is not trained


class StopError(Exception):
    """The test has seen enough."""


@pytest.mark.parametrize("name", ALL)
def test_an_interrupted_alignment_ends_in_the_same_weights(name: str, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 2, "save_every_steps": 1})
    data, held_out = InMemory(pairs(40), 4), InMemory(pairs(8, seed=9), 4)

    def align(directory: Path, last: int | None = None) -> Objective:
        objective = built(name, model(dropout=0.2))

        def progress(label: str, step: int, total: int) -> None:
            if step == last:
                raise StopError

        train(
            objective, data, held_out, settings, seed=0, label="align", directory=directory, progress=progress
        )
        return objective

    whole = align(tmp_path / "whole")
    with pytest.raises(StopError):
        align(tmp_path / "parts", last=5)
    resumed = align(tmp_path / "parts")
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


@pytest.mark.parametrize("name", PAIRED)
def test_training_wins_pairs(name: str) -> None:
    objective, batch = built(name), pairs(64)
    objective(batch)
    before = objective.take()
    train(objective, InMemory(batch, 4), None, SETTINGS, seed=0, label="align")
    objective(batch)
    after = objective.take()
    assert after["margin"] > before["margin"]
    assert after["won"] > max(0.9, before["won"])


@pytest.mark.parametrize("name", ALL)
def test_bf16_reaches_every_part_of_the_model(name: str) -> None:
    objective = built(name)
    exact = copy.deepcopy(objective)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = objective(pairs(32))
    total.backward()
    torch.manual_seed(1)
    exact(pairs(32))[0].backward()
    for (key, found), due in zip(objective.named_parameters(), exact.parameters(), strict=True):
        assert (found.grad is None) == (due.grad is None), key
        if found.grad is not None and due.grad is not None and due.grad.norm() > 0:
            assert torch.isfinite(found.grad).all(), key
            assert found.grad.norm() > 0, key
    assert objective.model.planner.decoder.blocks[0].ffn.up.weight.grad is not None  # type: ignore[union-attr]


# -- F-GRPO -----------------------------------------------------------------------------------


def test_f_grpo_raises_coverage_and_order() -> None:
    objective = built("f_grpo", model(sharp=3.0))
    batch = pairs(64)
    short = InMemory(batch, 4)
    objective.eval()
    with torch.no_grad():
        objective(batch)
    before = objective.take()
    settings = SETTINGS.model_copy(update={"epochs": 25, "patience": 25})
    curve = train(objective, short, short, settings, seed=0, label="align")
    with torch.no_grad():
        total, count = objective(batch)
    after = objective.take()
    assert after["slate_reward"] > before["slate_reward"] + 0.2
    assert after["order_reward"] > before["order_reward"] + 0.02
    due = after["slate_reward"] + after["order_reward"]
    assert total.item() / count.item() == pytest.approx(-due, rel=1e-5)
    best = min(record["validation_loss"] for record in curve)
    assert best < curve[0]["validation_loss"] - 0.2


def test_without_its_weight_the_order_is_not_taught() -> None:
    both, slates = built("f_grpo").eval(), built("f_grpo", order_weight=0.0).eval()
    batch = pairs(8)
    gap = slates(batch)[0] - both(batch)[0]
    assert gap.item() == pytest.approx(8 * both.take()["order_reward"], rel=1e-5)


def test_the_likelihood_of_the_better_slate_rises() -> None:
    """One step on one context; slates are of one item, and one item is engaged with."""
    net, batch = model(sharp=3.0), pairs(1)
    items = torch.full((1, 1, 1), 4)
    batch = Examples(batch.contexts, Targets(torch.zeros(1, dtype=torch.int64), items))
    objective = build_objective(net, CATALOG, AlignConfig(objective="f_grpo", rollouts=64), slate_size=1)
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.1)
    torch.manual_seed(0)

    def likelihood() -> Tensor:
        context = net.encode(batch.contexts, CODES)
        return code_log_probs(net, context, torch.arange(6)[None, :, None], CODES)[0].sum(dim=2)[0].detach()

    before = likelihood()
    objective(batch)[0].backward()
    optimizer.step()
    change = likelihood() - before
    assert change[4] > 0
    assert change[4] == change.max()
    assert change.min() < 0


def test_the_policy_that_draws_is_the_one_that_learns() -> None:
    """No dropout, whatever mode training sets."""
    objective = built("f_grpo", model(dropout=0.9))
    objective.train()
    assert objective.training
    assert not any(part.training for part in objective.model.modules())
    assert any(isinstance(part, nn.Dropout) for part in objective.model.modules())


def test_validation_draws_with_the_same_noise() -> None:
    objective, batch = built("f_grpo").eval(), pairs(8)
    with torch.no_grad():
        assert torch.equal(objective(batch)[0], objective(batch)[0])
        objective.train()
        assert not torch.equal(objective(batch)[0], objective(batch)[0])


def test_the_simulated_user_watches_more() -> None:
    world = World(SimulatorConfig(users=20, items=10), seed=0)
    ids = world.items.table["item_id"].to_pylist()[:6]
    items = Catalog.build(ids, CATALOG.codes, 3)
    users = [world.users.table["user_id"][i % 20].as_py() for i in range(64)]
    config = AlignConfig(objective="f_grpo", reward="simulator")
    known = {"world": world, "users": users, "held_out_users": users}
    objective = build_objective(model(sharp=3.0), items, config, slate_size=2, **known).eval()
    batch = pairs(64)
    with torch.no_grad():
        objective(batch)
        before = objective.take()["slate_reward"]
        settings = SETTINGS.model_copy(update={"epochs": 10})
    train(objective, InMemory(batch, 4), None, settings, seed=0, label="align")
    with torch.no_grad():
        objective(batch)
    after = objective.take()["slate_reward"]
    rows = world.item_rows(items.item_ids)
    every = np.array([[rows[a], rows[b]] for a in range(6) for b in range(6) if a != b])
    uniform = np.mean([world.expected_seconds(np.full(30, u), every).mean() for u in world.user_rows(users)])
    assert before == pytest.approx(uniform / 60, rel=0.1)
    assert after > 1.1 * before


def test_an_item_with_a_stand_in_is_drawn_by_its_own_codes() -> None:
    stand_ins = CATALOG.codes.copy()
    stand_ins[-1] = stand_ins[0]
    new = catalog(stand_ins=stand_ins)
    config = AlignConfig(objective="f_grpo")
    torch.manual_seed(0)
    found = build_objective(model(), new, config).eval()(pairs(8))[0]
    torch.testing.assert_close(found, built("f_grpo").eval()(pairs(8))[0])


# -- what cannot be built ---------------------------------------------------------------------


def test_the_simulators_reward_needs_a_world() -> None:
    with pytest.raises(InputError, match=r"align\.reward is simulator, but the data have no simulated world"):
        built("f_grpo", reward="simulator")


def test_a_slate_longer_than_the_model_plans() -> None:
    with pytest.raises(InputError, match="slate size 4: this model plans 1 to 3 items"):
        build_objective(model(), CATALOG, AlignConfig(objective="f_grpo"), slate_size=4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"align.reward": "simulator", "data.source": "kuairand", "data.path": "x"},
            "reward is simulator, but data.source is k",
        ),
        ({"training.parallel": "fsdp"}, "f_grpo draws slates step by step"),
    ],
)
def test_configurations_that_f_grpo_cannot_have(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_config("nano", {"align.objective": "f_grpo", **settings})
    load_config("nano", settings)


def test_disabled_items_are_never_drawn() -> None:
    config = AlignConfig(objective="f_grpo", rollouts=16)
    objective = build_objective(model(sharp=1.0), CATALOG, config, slate_size=2, disabled=["i1", "i4"])
    batch = pairs(8)
    context = objective.model.encode(batch.contexts, CATALOG.code_tensor)
    drawn = objective._draw(context, batch.targets.items[:, 0]).items[:, :16]
    assert set(drawn.flatten().tolist()) - {PADDING} == {CATALOG.position[f"i{n}"] for n in (0, 2, 3, 5)}
