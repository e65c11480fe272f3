"""A small file that somebody changes while the process runs."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from higr.errors import InputError

Content = TypeVar("Content")

logger = logging.getLogger("higr.serving")


class WatchedFile:
    """Says whether a file has changed; costs one `stat` a look.

    Kubernetes replaces a mounted ConfigMap through a symbolic link, so the link's target is what is compared.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | str | None = "never"

    def changed(self) -> bool:
        """Since the last look; true at the first. A file that is gone has changed once."""
        mark = self._mark()
        if mark == self._seen:
            return False
        self._seen = mark
        return True

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


class LiveFile(Generic[Content]):
    """What a file says now. A change that cannot be taken leaves what it said before.

    Args:
        read: what the file says; its errors never hold a secret.
        event: names the file in the log.
        on_error: called once for each change that could not be taken.

    Raises:
        InputError: the file cannot be taken when the process starts.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], Content],
        event: str,
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        self._read, self._event, self._on_error = read, event, on_error
        self._watched = WatchedFile(path)
        self._watched.changed()  # before it is read: a change while it is read is seen later
        self._content = read(path)

    @property
    def content(self) -> Content:
        if self._watched.changed():
            try:
                self._content = self._read(self._watched.path)
                logger.warning("event=%s_changed", self._event)
            except InputError as error:
                logger.error("event=%s_unreadable error=%s", self._event, error)
                self._on_error()
        return self._content
