"""Run: pytest tests/training"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from higr.config import TrainingConfig
from higr.errors import HigrError, InputError
from higr.training.batches import Batches, InMemory
from higr.training.curves import read_steps
from higr.training.examples import Examples
from higr.training.loop import train
from tests.training.tiny import examples

X = torch.linspace(-1, 1, 64)[:, None]
Y = 3 * X + 1
DATA = InMemory(examples(64), 1)
SETTINGS = {
    "epochs": 30,
    "batch_size": 16,
    "learning_rate": 0.1,
    "weight_decay": 0.0,
    "warmup_share": 0.1,
    "patience": 30,
}


class Line(nn.Module):
    """y = w x + b; `held_out` stands in for the validation loss."""

    def __init__(self, held_out: Callable[["Line"], float] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.held_out = nn.Linear(1, 1), held_out

    def forward(self, batch: Examples) -> tuple[Tensor, Tensor]:
        rows = batch.targets.rows
        if not self.training and self.held_out and rows[0] == 0:
            return torch.tensor(self.held_out(self)), torch.tensor(1)
        error = (self.linear(X[rows.clamp(min=0)]) - Y[rows.clamp(min=0)])[:, 0] ** 2
        present = rows >= 0
        return (error * present).sum(), present.sum()


def run(line: nn.Module, validate: bool = False, **changes: object) -> list[dict]:
    options = {k: changes.pop(k) for k in ("seed", "directory", "progress") if k in changes}
    settings = TrainingConfig.model_validate({**SETTINGS, **changes})
    held_out = InMemory(examples(8), 1) if validate else None
    return train(line, DATA, held_out, settings, **{"seed": 0, "label": "fit", **options})


def test_it_learns_a_line_and_reports_every_step() -> None:
    line, steps = Line(), []
    curve = run(line, validate=True, progress=lambda *step: steps.append(step))
    assert line.linear.weight.item() == pytest.approx(3, abs=0.01)
    assert line.linear.bias.item() == pytest.approx(1, abs=0.01)
    assert steps == [("fit", n, 120) for n in range(1, 121)]
    assert [record["epoch"] for record in curve] == list(range(31))
    assert curve[0]["validation_loss"] > curve[-1]["validation_loss"]
    assert not line.training


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    weights = []
    for seed in (0, 0, 1):
        line = Line()
        run(line, seed=seed, epochs=1)
        weights.append(line.linear.weight.item())
    assert weights[0] == weights[1] != weights[2]


def test_it_stops_after_patience_and_keeps_the_best_weights() -> None:
    kept: list[float] = []
    losses = iter([9.0, 5.0, 1.0, 2.0, 3.0, 0.0])

    def held_out(line: Line) -> float:
        kept.append(line.linear.weight.item())
        return next(losses)

    line = Line(held_out)
    curve = run(line, validate=True, patience=2)
    assert [record["best"] for record in curve] == [True, True, True, False, False]
    assert line.linear.weight.item() == kept[2]


def test_training_that_only_makes_things_worse_changes_nothing() -> None:
    losses = iter([1.0, 2.0, 3.0])
    line = Line(lambda _: next(losses))
    before = line.linear.weight.item()
    run(line, validate=True, epochs=2)
    assert line.linear.weight.item() == before


def test_without_anything_held_out_the_last_weights_are_kept() -> None:
    line = Line()
    curve = run(line, patience=1)
    assert line.linear.weight.item() == pytest.approx(3, abs=0.01)
    assert {record["validation_loss"] for record in curve} == {None}
    assert not line.training


def test_every_step_is_a_line_with_the_loss_and_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    for parts in (1, 4):
        directory = tmp_path / str(parts)
        run(Line(), epochs=2, accumulation=parts, directory=directory)
        steps = read_steps(directory)
        assert [record["step"] for record in steps] == list(range(1, 9))
        assert [record["epoch"] for record in steps] == [1] * 4 + [2] * 4
        assert steps[0]["learning_rate"] == 0.1  # a warm-up of one step, then the cosine
        assert steps[-1]["learning_rate"] == pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi * 6 / 7)))
        assert all(record["slates_per_second"] > 0 for record in steps)
        line = Line()
        loss, count = line(next(Batches(DATA, 16, seed=0).epoch(1)))
        (loss / count).backward()
        norm = torch.cat([p.grad.flatten() for p in line.parameters()]).norm().item()
        assert steps[0]["loss"] == pytest.approx(loss.item() / 16, rel=1e-6)
        assert steps[0]["grad_norm"] == pytest.approx(norm, rel=1e-6)


def test_fewer_lines_where_every_step_is_too_many(tmp_path: Path) -> None:
    run(Line(), epochs=2, log_every=3, directory=tmp_path)
    assert [record["step"] for record in read_steps(tmp_path)] == [3, 6]


class Broken(Line):
    """Its loss, or its gradient alone, is not finite in the batch that holds the row."""

    def __init__(self, row: int, gradient: bool) -> None:
        super().__init__()
        self.row, self.gradient = row, gradient

    def forward(self, batch: Examples) -> tuple[Tensor, Tensor]:
        loss, count = super().forward(batch)
        if self.row in batch.targets.rows and self.training:
            zero = self.linear.weight.sum() * 0
            loss = loss + (zero.sqrt() if self.gradient else zero * float("nan"))
        return loss, count


@pytest.mark.parametrize(
    ("gradient", "message"), [(False, "fit: loss is nan"), (True, r"fit: loss is [\d.]+, gradient norm nan")]
)
def test_a_loss_or_gradient_that_is_not_finite_stops_and_names_the_batch(
    tmp_path: Path, gradient: bool, message: str
) -> None:
    rows = Batches(DATA, 16, seed=0)
    bad = 2
    named = ", ".join(map(str, rows.rows(1, bad)[:8]))
    line = Broken(rows.rows(1, bad)[3], gradient)
    before = line.linear.weight.item()
    with pytest.raises(HigrError, match=message) as caught:
        run(line, directory=tmp_path, save_every_steps=1)
    assert f"in epoch 1 at step {bad + 1}, rows {named} and 8 more" in str(caught.value)
    assert f"the last good checkpoint is {tmp_path}/checkpoints/step-{bad:08d}" in str(caught.value)
    assert json.loads((tmp_path / "failed_batch.json").read_text()) == {
        "epoch": 1,
        "step": bad + 1,
        "rows": rows.rows(1, bad),
    }
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [f"step-{bad:08d}"]
    assert line.linear.weight.item() == before


def test_no_examples_is_an_error_that_says_what_to_do() -> None:
    settings = TrainingConfig.model_validate(SETTINGS)
    with pytest.raises(HigrError, match="fit: no training examples"):
        train(Line(), InMemory(examples(0), 1), None, settings, seed=0, label="fit")


def test_a_validation_loss_that_is_not_finite_stops() -> None:
    losses = iter([1.0, float("nan")])
    with pytest.raises(HigrError, match="fit: validation loss is nan"):
        run(Line(lambda _: next(losses)), validate=True)


def test_embeddings_and_vectors_do_not_decay() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.linear = nn.Embedding(2, 2), nn.Linear(2, 2)

        def forward(self, batch: Examples) -> tuple[Tensor, Tensor]:
            return sum(p.sum() * 0 for p in self.parameters()), torch.tensor(1)

    torch.manual_seed(0)
    model = Model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run(model, epochs=1, weight_decay=0.5)
    after = model.state_dict()
    assert torch.equal(after["table.weight"], before["table.weight"])
    assert torch.equal(after["linear.bias"], before["linear.bias"])
    assert (after["linear.weight"].abs() < before["linear.weight"].abs()).all()


def test_a_batch_must_come_apart_into_equal_parts() -> None:
    settings = TrainingConfig.model_validate(SETTINGS).model_copy(update={"accumulation": 3})
    with pytest.raises(InputError, match="each of 1 processes 16 rows, which cannot be computed in 3 parts"):
        train(Line(), DATA, None, settings, seed=0, label="fit")
    with pytest.raises(
        ValueError, match=r"batch_size 16 is not a multiple of shards \* accumulation \(4 \* 3\)"
    ):
        TrainingConfig.model_validate({**SETTINGS, "accumulation": 3, "shards": 4})


def test_several_processes_must_be_told_what_to_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InputError, match=r"4 processes were started with training\.parallel none"):
        run(Line())
