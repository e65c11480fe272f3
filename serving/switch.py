"""The switch: one mounted file with one word decides who makes the slates.

`auto` and `higr` both ask HiGR first. They differ for whoever else may move the switch: the drift
job may turn `auto` to `baseline`, it must leave a person's `higr` alone.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from serving.watched import WatchedFile

Position = Literal["auto", "higr", "baseline"]
POSITIONS: tuple[Position, ...] = get_args(Position)

logger = logging.getLogger("higr.serving")


class Switch:
    """Reads the file again whenever it has changed.

    A file that is gone or holds anything else leaves the switch where it is.

    Args:
        path: the file; none: always `auto`.
        on_error: called once for each change that could not be taken.
    """

    def __init__(self, path: Path | None, on_error: Callable[[], None] = lambda: None) -> None:
        self._file = None if path is None else WatchedFile(path)
        self._on_error = on_error
        self._position: Position = "auto"

    @property
    def position(self) -> Position:
        if self._file is not None and self._file.changed():
            self._take(self._file.path)
        return self._position

    def _take(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                word = file.read(64).decode("utf-8", "replace").strip()
        except OSError as error:
            self._refuse(type(error).__name__)
            return
        if word not in POSITIONS:
            self._refuse("malformed")
            return
        if word != self._position:
            logger.warning("event=switch_moved from=%s to=%s", self._position, word)
        self._position = word

    def _refuse(self, why: str) -> None:
        logger.error("event=switch_unreadable why=%s kept=%s", why, self._position)
        self._on_error()
