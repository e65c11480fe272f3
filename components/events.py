"""What a running stage tells whoever watches it: one JSON line an event, appended to one file.

The file is named by the environment variable `HIGR_PROGRESS`; where it is unset, nothing is written.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

VARIABLE = "HIGR_PROGRESS"


@dataclass(frozen=True)
class Event:
    """`failed`: the user can mend it; `crashed`: we have to.

    Attributes:
    label, done, total: what is being done and how far it is; of `progress`.
    seconds: since the stage started; of the last three.
    text: the reason of `failed` and `crashed`, in one line; the path of a `report`.
    figures: what the stage found; of `finished`.
    """

    stage: str
    kind: Literal["started", "progress", "report", "finished", "failed", "crashed"]
    label: str = ""
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    text: str = ""
    figures: Mapping[str, float | int | str] = field(default_factory=dict)


def emit(event: Event) -> None:
    """Append to the file, if somebody watches."""
    if path := os.environ.get(VARIABLE):
        # One write of one line: appended whole, also when two stages run at once.
        with Path(path).open("ab", buffering=0) as file:
            file.write(json.dumps(asdict(event)).encode() + b"\n")


class Tail:
    """Events of a file that is still written to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def __call__(self) -> Iterator[Event]:
        """The events since the last call; a line that is not yet whole waits for the next."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield Event(**json.loads(line))
