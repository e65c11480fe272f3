"""Run: pytest tests/training

A watch that may end a training, and an objective that has more to tell than its loss.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from higr.config import TrainingConfig
from higr.progress import Progress, no_progress
from higr.training.batches import InMemory
from higr.training.curves import GUARD, read_guard, read_steps
from higr.training.examples import Examples
from higr.training.loop import train
from higr.training.watch import Look
from tests.training.test_loop import SETTINGS, Line
from tests.training.tiny import examples


class Telling(Line):
    """Tells the mean square of the rows' numbers it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def forward(self, batch: Examples) -> tuple[Tensor, Tensor]:
        self.seen += [float(row**2) for row in batch.targets.rows if row >= 0]
        return super().forward(batch)

    def take(self) -> dict[str, float]:
        mean = sum(self.seen) / len(self.seen)
        self.seen = []
        return {"square": mean}


class Scale:
    """Watches how long the weight has become; more than `limit` is too long."""

    def __init__(self, line: Line, checks: int = 2, limit: float = torch.inf) -> None:
        self.line, self.checks, self.limit = line, checks, limit
        self.seen: list[float] = []

    def start(self) -> Look:
        self.first = self.line.linear.weight.item()
        return Look({"moved": 0.0})

    def look(self) -> Look:
        self.seen.append(self.line.linear.weight.item())
        moved = abs(self.seen[-1] - self.first)
        return Look({"moved": moved}, f"moved {moved:.3f}" if moved > self.limit else None)


def run(
    line: Line,
    watch: Scale | None,
    directory: Path | None = None,
    progress: Progress = no_progress,
    held_out: bool = True,
    **changes: object,
) -> list[dict]:
    settings = TrainingConfig.model_validate({**SETTINGS, "epochs": 2, **changes})
    return train(
        line,
        InMemory(examples(64), 1),
        InMemory(examples(64), 1) if held_out else None,
        settings,
        seed=0,
        label="fit",
        directory=directory,
        watch=watch,
        progress=progress,
    )


@pytest.mark.parametrize(
    ("checks", "steps"),
    [
        (1, [0, 4, 8]),
        (2, [0, 2, 4, 6, 8]),
        (3, [0, 2, 3, 4, 6, 7, 8]),
        (9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_it_looks_so_many_times_an_epoch_and_always_at_its_end(checks: int, steps: list[int]) -> None:
    line = Line()
    curve = run(line, Scale(line, checks))
    assert [record["steps"] for record in curve] == steps
    assert [record["epoch"] for record in curve] == [0] + [1 if step <= 4 else 2 for step in steps[1:]]
    assert {record["breach"] for record in curve} == {None}


def test_a_watch_changes_nothing_of_a_training_it_lets_pass() -> None:
    plain, watched = Line(), Line()
    one, two = run(plain, None), run(watched, Scale(watched))
    assert torch.equal(plain.linear.weight, watched.linear.weight)
    ends = [record for record in two if record["steps"] in (0, 4, 8)]
    assert [r["validation_loss"] for r in one] == [r["validation_loss"] for r in ends]
    assert [r["train_loss"] for r in one] == [r["train_loss"] for r in ends]


@pytest.mark.parametrize("held_out", [True, False])
def test_a_breach_ends_it_and_the_last_weights_that_passed_come_back(held_out: bool) -> None:
    """The line moves towards 3 and its loss falls, so the latest weights are the best."""
    line = Line()
    watch = Scale(line, checks=4, limit=0.45)
    curve = run(line, watch, held_out=held_out)
    assert [bool(record["breach"]) for record in curve] == [False] * (len(curve) - 1) + [True]
    assert curve[-1]["steps"] < 8
    assert curve[-1]["breach"] == f"moved {curve[-1]['guard']['moved']:.3f}"
    assert curve[-2]["guard"]["moved"] <= 0.45 < curve[-1]["guard"]["moved"]
    assert line.linear.weight.item() == watch.seen[-2]
    assert [record["best"] for record in curve] == [True] * (len(curve) - 1) + [False]


def test_a_breach_at_the_first_look_leaves_the_start() -> None:
    line = Line()
    before = line.linear.weight.item()
    curve = run(line, Scale(line, limit=0.0))
    assert [record["steps"] for record in curve] == [0, 2]
    assert line.linear.weight.item() == before


class StopError(Exception):
    """The test has seen enough."""


def stop_at(last: int) -> Callable[[str, int, int], None]:
    def progress(label: str, step: int, total: int) -> None:
        if step == last:
            raise StopError

    return progress


def timeless(directory: Path) -> list[dict]:
    return [{k: v for k, v in step.items() if k != "slates_per_second"} for step in read_steps(directory)]


@pytest.mark.parametrize("last", range(1, 9))
@pytest.mark.parametrize("limit", [torch.inf, 0.45])
def test_a_watched_training_may_stop_anywhere(tmp_path: Path, last: int, limit: float) -> None:
    whole, line = Telling(), Telling()
    expected = run(whole, Scale(whole, 2, limit), tmp_path / "whole", save_every_steps=3)
    try:
        run(line, Scale(line, 2, limit), tmp_path / "cut", stop_at(last), save_every_steps=3)
    except StopError:
        line = Telling()  # as a new process has it
        found = run(line, Scale(line, 2, limit), tmp_path / "cut", save_every_steps=3)
        assert found == expected
    assert torch.equal(line.linear.weight, whole.linear.weight)
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    assert read_guard(tmp_path / "cut") == read_guard(tmp_path / "whole")


def test_a_training_that_a_breach_ended_does_not_go_on(tmp_path: Path) -> None:
    line, again = Line(), Line()
    curve = run(line, Scale(line, limit=0.1), tmp_path)
    assert run(again, Scale(again, limit=0.1), tmp_path, stop_at(1)) == curve
    assert torch.equal(line.linear.weight, again.linear.weight)


def test_every_look_is_a_line(tmp_path: Path) -> None:
    line = Line()
    curve = run(line, Scale(line), tmp_path)
    assert read_guard(tmp_path) == [
        {
            "step": record["steps"],
            "epoch": record["epoch"],
            "validation_loss": record["validation_loss"],
            "moved": record["guard"]["moved"],
            "breach": None,
        }
        for record in curve
    ]


def test_a_training_that_died_before_its_first_checkpoint_leaves_no_line_twice(tmp_path: Path) -> None:
    line = Line()
    with pytest.raises(StopError):
        run(line, Scale(line), tmp_path, stop_at(3))
    again = Line()
    run(again, Scale(again), tmp_path)
    assert [record["step"] for record in read_guard(tmp_path)] == [0, 2, 4, 6, 8]


def test_without_a_watch_there_is_no_file_of_looks(tmp_path: Path) -> None:
    run(Line(), None, tmp_path)
    assert not (tmp_path / GUARD).exists()


def test_what_an_objective_tells_is_of_its_own_step_and_validation(tmp_path: Path) -> None:
    curve = run(Telling(), None, tmp_path, epochs=1)
    told = [step["square"] for step in read_steps(tmp_path)]
    assert len(set(told)) == 4
    assert sum(told) / 4 == pytest.approx(sum(n * n for n in range(64)) / 64)  # four batches of 16
    assert [record["objective"] for record in curve] == [{"square": sum(n * n for n in range(64)) / 64}] * 2
    json.dumps(curve)
