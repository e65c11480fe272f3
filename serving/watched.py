"""A small file that somebody changes while the process runs."""

from pathlib import Path


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
