"""Run: pytest tests/training"""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest
from torch import Tensor

from higr.errors import InputError
from higr.model.higr import HiGR
from higr.training.curves import STEPS, read_steps
from higr.training.fit import fit
from tests.training import tiny

ROOT = Path(__file__).resolve().parents[2]


class StopError(Exception):
    """The test has seen enough."""


def train(
    directory: Path | None,
    last: int | None = None,
    *,
    width: int = 16,
    count: int = 50,
    dropout: float = 0.1,
    sizes: Mapping[str, object] = MappingProxyType({}),
    tokenizer_id: str = "t",
    codes: Tensor | None = None,
    **changes: object,
) -> tuple[HiGR, list[dict]]:
    """The training of `killed`, in this process; `StopError` after step `last`."""

    def progress(label: str, step: int, total: int) -> None:
        if step == last:
            raise StopError

    model = tiny.model(dropout, width, **sizes)
    model.tokenizer_id = tokenizer_id
    options = {"save_every_steps": 2, **changes}
    seed = options.pop("seed", 0)
    model.encoder.user_token.data += options.pop("start", 0)
    curve = fit(
        model,
        tiny.examples(count),
        tiny.examples(12, seed=1),
        tiny.codes() if codes is None else codes,
        tiny.settings(**options),
        seed,
        directory=directory,
        progress=progress,
    )
    return model, curve


def stop(directory: Path, last: int, **changes: object) -> None:
    with pytest.raises(StopError):
        train(directory, last, **changes)


def timeless(directory: Path) -> list[dict]:
    return [{k: v for k, v in step.items() if k != "slates_per_second"} for step in read_steps(directory)]


@dataclass(frozen=True)
class Whole:
    """What came of the training when nothing stopped it."""

    model: HiGR
    curve: list[dict]
    steps: list[dict]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    directory = tmp_path_factory.mktemp("whole")
    model, curve = train(directory, save_every_steps=0)
    return Whole(model, curve, timeless(directory))


def test_a_killed_training_goes_on_to_the_same_curve_and_weights_bit_for_bit(
    tmp_path: Path, whole: Whole
) -> None:
    """Killed in the middle of an epoch, one step after a checkpoint."""
    command = [sys.executable, "-m", "tests.training.killed", str(tmp_path)]
    died = subprocess.run([*command, "11"], cwd=ROOT, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000010"]
    assert [step["step"] for step in read_steps(tmp_path)] == list(range(1, 12))
    model, curve = train(tmp_path)
    assert curve == whole.curve
    assert timeless(tmp_path) == whole.steps
    assert [step["step"] for step in whole.steps] == list(range(1, 22))
    assert tiny.equal(model, whole.model)


@pytest.mark.parametrize("last", [1, 7, 8, 21])
def test_it_may_stop_anywhere(tmp_path: Path, whole: Whole, last: int) -> None:
    """Before the first checkpoint, at the end of an epoch, just after it, at the very end."""
    stop(tmp_path, last, save_every_steps=0)
    model, curve = train(tmp_path, save_every_steps=0)
    assert (curve, timeless(tmp_path)) == (whole.curve, whole.steps)
    assert tiny.equal(model, whole.model)


def test_the_best_weights_and_patience_survive(tmp_path: Path) -> None:
    """A learning rate that makes things worse: the best epoch lies before the stop."""
    rash = {"learning_rate": 3.0, "epochs": 6, "patience": 4, "save_every_steps": 0}
    stop(tmp_path, 16, **rash)
    model, curve = train(tmp_path, **rash)
    assert curve == train(None, **rash)[1]
    assert len(curve) == 5
    assert tiny.equal(model, tiny.model())


def test_a_training_that_ended_is_not_done_again(tmp_path: Path, whole: Whole) -> None:
    train(tmp_path, save_every_steps=0)
    again, curve = train(tmp_path, last=1, save_every_steps=0)
    assert curve == whole.curve
    assert tiny.equal(again, whole.model)


def test_half_a_line_and_half_a_checkpoint_are_passed_over(tmp_path: Path, whole: Whole) -> None:
    stop(tmp_path, 5)
    with (tmp_path / STEPS).open("a") as file:
        file.write('{"step": 6, "epo')
    aside = tmp_path / "checkpoints/.writing"
    aside.mkdir()
    (aside / "__0_0.distcp").write_bytes(b"half")
    model, _ = train(tmp_path, save_every_steps=0)
    assert tiny.equal(model, whole.model)
    assert timeless(tmp_path) == whole.steps


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 32}, r"has shape of model.* \[.*16.*\], this training \[.*32.*\]"),
        ({"learning_rate": 0.5}, r"has learning_rate 0.01, this training 0.5"),
        ({"batch_size": 16}, "has batch_size 8, this training 16"),
        ({"epochs": 9}, "has epochs 3, this training 9"),
        ({"precision": "bf16"}, "has precision fp32, this training bf16"),
        ({"seed": 1}, "has seed 0, this training 1"),
        ({"start": 1}, "has weights at the start [0-9a-f]+, this training [0-9a-f]+"),
        ({"count": 51}, "has data [0-9a-f]+, this training [0-9a-f]+"),
        ({"dropout": 0.2}, r"has model\.dropout 0\.1, this training 0\.2"),
        ({"sizes": {"heads": 4}}, r"has model\.heads 2, this training 4"),
        ({"sizes": {"pooling": "mean"}}, r"has model\.pooling sum, this training mean"),
        ({"tokenizer_id": "u"}, "has tokenizer_id t, this training u"),
        ({"codes": tiny.codes().flip(0)}, "has codes [0-9a-f]+, this training [0-9a-f]+"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    stop(tmp_path, 3)
    with pytest.raises(InputError, match=message) as caught:
        train(tmp_path, **changes)
    assert f"use what it was started with, or remove {tmp_path}/checkpoints" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulation": 2},
        {"checkpoint_activations": True},
        {"log_every": 2, "save_every_steps": 3},
        {"parallel": "fsdp"},
    ],
)
def test_what_changes_no_loss_may_change(tmp_path: Path, changes: dict) -> None:
    """Without dropout, whose draws follow the parts of a batch."""
    stop(tmp_path, 8, dropout=0.0, save_every_steps=0)
    _, curve = train(tmp_path, dropout=0.0, **{"save_every_steps": 0, **changes})
    _, expected = train(None, dropout=0.0)
    losses = [record["train_loss"] for record in curve[1:]]
    assert losses == pytest.approx([record["train_loss"] for record in expected[1:]], rel=1e-6)


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata"])
def test_a_damaged_checkpoint_says_what_to_do(tmp_path: Path, name: str) -> None:
    stop(tmp_path, 3)
    (file,) = (tmp_path / "checkpoints").glob(f"step-*/{name}")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(
        InputError, match=r"checkpoint .* cannot be read .* remove .*checkpoints to start again"
    ):
        train(tmp_path)


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    stop(tmp_path, 5)
    (path,) = (tmp_path / "checkpoints").glob("step-*/position.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 9}))
    with pytest.raises(InputError, match="schema version 9, this code reads 1"):
        train(tmp_path)
