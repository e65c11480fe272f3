"""Learning curves as files: one JSON line an epoch, one a step, one a look of what watches a training."""

import json
import os
from pathlib import Path
from typing import Any

from higr.errors import InputError
from higr.files import atomic_file

NAME = "curve.jsonl"
STEPS = "steps.jsonl"
GUARD = "guard.jsonl"


def write_curve(directory: Path, stage: str, curve: list[dict[str, Any]]) -> None:
    _write(directory / NAME, [{"stage": stage, **record} for record in curve])


def read_curve(directory: Path) -> list[dict[str, Any]]:
    return _read(directory / NAME)


def read_steps(directory: Path) -> list[dict[str, Any]]:
    """step, epoch, loss, learning_rate, grad_norm, slates_per_second, and the objective's own figures."""
    return _read(directory / STEPS)


def read_guard(directory: Path) -> list[dict[str, Any]]:
    """step, epoch, validation_loss, the figures of `higr.training.watch.Look`, and breach."""
    return _read(directory / GUARD)


class StepLog:
    """Appends lines that have a `step`, each on disk as soon as it is written.

    Args:
        directory: where the file lies.
        after: the step training goes on from; lines of later steps, which will be done again, go.
        name: of the file.
    """

    def __init__(self, directory: Path, after: int, name: str = STEPS) -> None:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, [line for line in _whole_lines(path) if line["step"] <= after])
        self._file = path.open("a")

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """All lines but one that was cut short when its process died."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _write(path: Path, records: list[dict[str, Any]]) -> None:
    with atomic_file(path) as aside:
        aside.write_text("".join(json.dumps(record) + "\n" for record in records))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the training stage first") from None
