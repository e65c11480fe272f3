"""Learning curves as files: one JSON line an epoch."""

import json
from pathlib import Path
from typing import Any

from higr.errors import InputError
from higr.files import atomic_file

NAME = "curve.jsonl"


def write_curve(directory: Path, stage: str, curve: list[dict[str, Any]]) -> None:
    with atomic_file(directory / NAME) as aside:
        aside.write_text("".join(json.dumps({"stage": stage, **record}) + "\n" for record in curve))


def read_curve(directory: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in (directory / NAME).read_text().splitlines()]
    except FileNotFoundError:
        raise InputError(f"{directory / NAME} does not exist; run the training stage first") from None
