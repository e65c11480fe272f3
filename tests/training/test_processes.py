"""Run: pytest tests/training

Two processes on this machine, started by torchrun, give what one process gives.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from higr.model.higr import HiGR
from higr.training.curves import read_guard, read_steps
from higr.training.fit import fit
from higr.training.shards import write_shards
from tests.training import tiny
from tests.training.together import LAYOUTS

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def torchrun(module: str, *arguments: object) -> int:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    process = subprocess.run(
        [*command, module, *map(str, arguments)], cwd=ROOT, check=False, timeout=300, capture_output=True
    )
    return process.returncode


class StopError(Exception):
    """The test has seen enough."""


def train(directory: Path, last: int | None = None) -> tuple[HiGR, list[dict]]:
    """The same training in this process alone; `StopError` after step `last`."""

    def progress(label: str, step: int, total: int) -> None:
        if step == last:
            raise StopError

    model = tiny.model(dropout=0.0)
    curve = fit(
        model,
        tiny.examples(50),
        tiny.examples(12, seed=1),
        tiny.codes(),
        tiny.settings(save_every_steps=2 if last else 0),
        seed=0,
        directory=directory,
        progress=progress,
    )
    return model, curve


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("together")
    write_shards(directory / "shards", [tiny.examples(50)], tiny.settings().shards)
    assert torchrun("tests.training.together", directory) == 0
    return directory


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[HiGR, list[dict], list[dict]]:
    directory = tmp_path_factory.mktemp("alone")
    model, curve = train(directory)
    return model, curve, read_steps(directory)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_processes_give_the_losses_and_weights_of_one(
    directory: Path, alone: tuple[HiGR, list[dict], list[dict]], layout: str
) -> None:
    model, curve, steps = alone
    found = json.loads((directory / f"{layout}.json").read_text())
    for key in ("train_loss", "validation_loss"):
        assert [r[key] for r in found["curve"][1:]] == pytest.approx([r[key] for r in curve[1:]], rel=1e-6)
    for key, rounding in (("loss", 1e-5), ("grad_norm", 1e-4)):
        assert [s[key] for s in read_steps(directory / layout)] == pytest.approx(
            [s[key] for s in steps], rel=rounding
        )
    for name, value in model.state_dict().items():
        # AdamW makes a part of a step (0.01) of the rounding of a gradient near 0.
        torch.testing.assert_close(torch.tensor(found["weights"][name]), value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("first", [2, 1])
def test_a_training_goes_on_with_another_number_of_processes(
    tmp_path: Path, alone: tuple[HiGR, list[dict], list[dict]], first: int
) -> None:
    """Two processes with FSDP are killed and one goes on, or the other way round."""
    _, curve, steps = alone
    if first == 2:
        assert torchrun("tests.training.killed", tmp_path, 11) != 0
        assert [path.name for path in (tmp_path / "checkpoints").glob("step-*")] == ["step-00000010"]
        _, found = train(tmp_path)
        assert [r["validation_loss"] for r in found] == pytest.approx(
            [r["validation_loss"] for r in curve], rel=1e-6
        )
    else:
        with pytest.raises(StopError):
            train(tmp_path, last=11)
        assert torchrun("tests.training.killed", tmp_path) == 0
    assert [s["loss"] for s in read_steps(tmp_path)] == pytest.approx([s["loss"] for s in steps], rel=1e-5)


def test_what_watches_for_the_first_process_speaks_for_all(tmp_path: Path) -> None:
    """With FSDP no process has the whole weights, and the watch judges them whole."""
    command = [sys.executable, "-m", "tests.training.watched", str(tmp_path / "alone"), "none"]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=120).returncode == 0
    expected = json.loads((tmp_path / "alone/result.json").read_text())
    assert expected["curve"][-1]["breach"] == "the fifth look"
    for parallel in ("ddp", "fsdp"):
        assert torchrun("tests.training.watched", tmp_path / parallel, parallel) == 0
        found = json.loads((tmp_path / parallel / "result.json").read_text())
        assert [r["breach"] for r in found["curve"]] == [r["breach"] for r in expected["curve"]]
        moved = [r["guard"]["moved"] for r in expected["curve"]]
        assert [r["guard"]["moved"] for r in found["curve"]] == pytest.approx(moved, rel=1e-3, abs=1e-6)
        assert found["weights"] == pytest.approx(expected["weights"], rel=1e-6)
        assert len(read_guard(tmp_path / parallel)) == len(found["curve"]) == 6
