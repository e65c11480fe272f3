"""Run: pytest tests/training"""

import pytest
import torch
from torch import Tensor, nn

from higr.errors import HigrError
from higr.training.loop import train

X = torch.linspace(-1, 1, 64)[:, None]
Y = 3 * X + 1
SETTINGS = {
    "epochs": 30,
    "batch_size": 16,
    "learning_rate": 0.1,
    "weight_decay": 0.0,
    "warmup_share": 0.1,
    "clip_norm": 1.0,
    "seed": 0,
    "patience": 30,
    "label": "fit",
}


def regression(seed: int = 0) -> tuple[nn.Linear, object]:
    torch.manual_seed(seed)
    model = nn.Linear(1, 1)
    return model, lambda rows: ((model(X[rows]) - Y[rows]) ** 2).mean()


def test_it_learns_a_line_and_reports_every_step() -> None:
    model, loss = regression()
    steps = []
    curve = train(
        model,
        loss,
        len(X),
        validate=lambda: loss(torch.arange(64)).item(),
        progress=lambda *step: steps.append(step),
        **SETTINGS,
    )
    assert model.weight.item() == pytest.approx(3, abs=0.01)
    assert model.bias.item() == pytest.approx(1, abs=0.01)
    assert steps[-1] == ("fit", 120, 120)
    assert [record["epoch"] for record in curve] == list(range(31))
    assert curve[0]["validation_loss"] > curve[-1]["validation_loss"]
    assert not model.training


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    weights = []
    for seed in (0, 0, 1):
        model, loss = regression()
        train(model, loss, len(X), validate=None, **{**SETTINGS, "seed": seed, "epochs": 1})
        weights.append(model.weight.item())
    assert weights[0] == weights[1] != weights[2]


def test_it_stops_after_patience_and_keeps_the_best_weights() -> None:
    model, loss = regression()
    losses = iter([9.0, 5.0, 1.0, 2.0, 3.0, 0.0])
    kept = []

    def validate() -> float:
        kept.append(model.weight.item())
        return next(losses)

    curve = train(model, loss, len(X), validate=validate, **{**SETTINGS, "patience": 2})
    assert [record["best"] for record in curve] == [True, True, True, False, False]
    assert model.weight.item() == kept[2]


def test_training_that_only_makes_things_worse_changes_nothing() -> None:
    model, loss = regression()
    before = model.weight.item()
    losses = iter([1.0, 2.0, 3.0])
    train(model, loss, len(X), validate=lambda: next(losses), **{**SETTINGS, "epochs": 2})
    assert model.weight.item() == before


def test_without_anything_held_out_the_last_weights_are_kept() -> None:
    model, loss = regression()
    curve = train(model, loss, len(X), validate=None, **{**SETTINGS, "patience": 1})
    assert model.weight.item() == pytest.approx(3, abs=0.01)
    assert {record["validation_loss"] for record in curve} == {None}
    assert not model.training


def test_a_validation_loss_that_is_not_finite_stops() -> None:
    model, loss = regression()
    losses = iter([1.0, float("nan")])
    with pytest.raises(HigrError, match="fit: validation loss is nan"):
        train(model, loss, len(X), validate=lambda: next(losses), **SETTINGS)


def test_a_loss_that_is_not_finite_stops_with_its_step() -> None:
    model, _ = regression()
    with pytest.raises(HigrError, match="fit: loss is nan at step 1; lower the learning rate"):
        train(model, lambda rows: model.weight.sum() * float("nan"), 4, validate=lambda: 0.0, **SETTINGS)


def test_no_examples_is_an_error_that_says_what_to_do() -> None:
    model, loss = regression()
    with pytest.raises(HigrError, match="no training examples"):
        train(model, loss, 0, validate=lambda: 0.0, **SETTINGS)


def test_embeddings_and_vectors_do_not_decay() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.linear = nn.Embedding(2, 2), nn.Linear(2, 2)

    torch.manual_seed(0)
    model = Model()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def no_gradient(rows: Tensor) -> Tensor:
        return sum(p.sum() * 0 for p in model.parameters())

    train(model, no_gradient, 4, validate=None, **{**SETTINGS, "epochs": 1, "weight_decay": 0.5})
    after = model.state_dict()
    assert torch.equal(after["table.weight"], before["table.weight"])
    assert torch.equal(after["linear.bias"], before["linear.bias"])
    assert (after["linear.weight"].abs() < before["linear.weight"].abs()).all()
