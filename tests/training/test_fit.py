"""Run: pytest tests/training"""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from higr.errors import InputError
from higr.model.inputs import ContextBatch
from higr.training.batches import Batches, InMemory, Source
from higr.training.fit import fit
from higr.training.shards import write_shards
from higr.training.targets import PADDING
from tests.training import tiny


def train(**changes: object) -> tuple[nn.Module, list[dict]]:
    model = tiny.model(dropout=changes.pop("dropout", 0.1))
    held_out = tiny.examples(12, seed=1)
    return model, fit(model, tiny.examples(50), held_out, tiny.codes(), tiny.settings(**changes), seed=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_by_hand(smoothing: float) -> None:
    model, data, codes = tiny.model().eval(), tiny.examples(5), tiny.codes()
    items = data.targets.items
    total, count = model.losses(data.contexts, items, codes, smoothing)
    log_probs = model(data.contexts, codes, codes[items.clamp(min=0)]).log_softmax(-1)
    expected, number = 0.0, 0
    for row in range(5):
        for position in range(tiny.SLATE):
            if items[row, position] != PADDING:
                for level, code in enumerate(codes[items[row, position]]):
                    given = log_probs[row, position, level]
                    expected -= (1 - smoothing) * given[code].item() + smoothing * given.mean().item()
                    number += 1
    assert (total.item(), count.item()) == (pytest.approx(expected, rel=1e-5), number)


def test_a_row_without_target_weighs_nothing() -> None:
    model, data, codes = tiny.model().eval(), tiny.examples(2), tiny.codes()
    both = model.losses(data.contexts, data.targets.items, codes)
    items = data.targets.items.clone()
    items[1] = PADDING
    first = model.losses(data.contexts[:1], data.targets.items[:1], codes)
    assert model.losses(data.contexts, items, codes)[0].item() == pytest.approx(first[0].item(), rel=1e-6)
    assert both[1] > first[1] == model.losses(data.contexts, items, codes)[1]
    nothing = model.losses(data.contexts, torch.full_like(items, PADDING), codes)
    assert [value.item() for value in nothing] == [0.0, 0]


def test_it_learns_what_follows_and_the_same_seed_gives_the_same_weights() -> None:
    model, curve = train(epochs=8)
    again, same = train(epochs=8)
    assert curve[-1]["validation_loss"] < 0.8 * curve[0]["validation_loss"]
    assert curve == same
    assert tiny.equal(model, again)
    assert next(model.parameters()).device.type == "cpu"


def test_memory_in_other_shards_is_another_order() -> None:
    curve = train(shards=1, batch_size=8)[1]
    start = train()[1][0]
    assert curve[0] == {**start, "validation_loss": pytest.approx(start["validation_loss"], rel=1e-6)}
    assert curve[1] != train()[1][1]


@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [
        ({"accumulation": 2}, 1e-6),
        ({"checkpoint_activations": True}, 1e-6),
        ({"precision": "bf16"}, 2e-2),
        ({"parallel": "fsdp"}, 0),
    ],
)
def test_how_it_is_computed_changes_no_loss(changes: dict, tolerance: float) -> None:
    expected = [record["train_loss"] for record in train(dropout=0.0)[1][1:]]
    found = [record["train_loss"] for record in train(dropout=0.0, **changes)[1][1:]]
    assert found == pytest.approx(expected, rel=tolerance)
    if "precision" in changes:
        assert found != expected


@pytest.mark.slow
def test_compiled_blocks_give_the_same_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured and differentiated ahead of time, but not turned into C++, which takes minutes."""
    compiled: list[nn.Module] = []

    def capture(block: nn.Module) -> None:
        compiled.append(block)
        block._compiled_call_impl = torch.compile(block._call_impl, backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", capture)
    expected = [record["train_loss"] for record in train(dropout=0.0, epochs=1)[1][1:]]
    found = [record["train_loss"] for record in train(dropout=0.0, epochs=1, compile=True)[1][1:]]
    assert found == pytest.approx(expected, rel=1e-5)
    assert len(compiled) == 5  # of encoder, planner and generator


def test_the_callers_module_is_the_same_object_without_traces_of_training() -> None:
    model = tiny.model()
    keys = {name: set(vars(module)) for name, module in model.named_modules()}
    settings = tiny.settings(epochs=1, checkpoint_activations=True)
    fit(model, tiny.examples(16), None, tiny.codes(), settings, seed=0)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == keys
    assert not model.training


class Popular(nn.Module):
    """The least that can be trained: one logit an item."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(tiny.ITEMS))

    def losses(self, contexts: ContextBatch, items: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        present = items != PADDING
        chosen = self.logits.log_softmax(0)[items.clamp(min=0)]
        return -(chosen * present).sum(), present.sum()


def test_any_module_with_losses_is_trained_and_without_validation_all_epochs_run() -> None:
    model, data = Popular(), tiny.examples(64)
    data = data[(data.targets.items != PADDING).all(dim=1)]  # a step's loss is the mean of its own batch
    settings = tiny.settings(epochs=200, learning_rate=0.05)
    curve = fit(model, InMemory(data, 4), tiny.examples(0), tiny.codes(), settings, seed=0)
    assert len(curve) == 201
    items = data.targets.items[data.targets.items != PADDING]
    share = torch.bincount(items, minlength=tiny.ITEMS) / len(items)
    torch.testing.assert_close(model.logits.softmax(0), share, atol=0.01, rtol=0)


def test_validation_is_dealt_as_the_data_on_disk_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 files and `training.shards` 1 for memory; two processes could not share one shard."""
    seen: list[int] = []

    def see(source: Source, *arguments: object, **options: object) -> Batches:
        seen.append(source.shards)
        return Batches(source, *arguments, **options)

    monkeypatch.setattr("higr.training.loop.Batches", see)
    shards = write_shards(tmp_path / "train", [tiny.examples(16)], 8)
    settings = tiny.settings(epochs=1, shards=1)
    fit(tiny.model(), shards, tiny.examples(12, seed=1), tiny.codes(), settings, seed=0)
    assert seen == [8, 8]


def test_smoothing_needs_a_model_that_smooths() -> None:
    settings = tiny.settings(label_smoothing=0.1)
    with pytest.raises(InputError, match=r"label_smoothing is 0\.1, but Popular has none; set it to 0"):
        fit(Popular(), tiny.examples(16), None, tiny.codes(), settings, seed=0)
