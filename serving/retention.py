"""How long a log is kept."""

import contextlib
import time
from pathlib import Path

ASIDE_DAYS = 1.0
"""A part that was begun so long ago and has no name yet is of a process that died while it wrote."""


def expire(folder: Path, days: float | None) -> int:
    """Remove parts that were written more than so many days ago, None: no part; how many were.

    Raises:
        OSError: the folder cannot be read, or a part cannot be removed.
    """
    removed = _remove(folder, "part-*.parquet", days) if days is not None else 0
    _remove(folder, ".part-*.parquet.*", ASIDE_DAYS)
    _remove(folder, ".part-*.new", ASIDE_DAYS)
    return removed


def _remove(folder: Path, pattern: str, days: float) -> int:
    removed, oldest = 0, time.time() - days * 86_400
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # another process of the same folder was first
            if path.stat().st_mtime < oldest:
                path.unlink()
                removed += 1
    return removed
