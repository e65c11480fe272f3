"""The prediction log: every answered slate, as Parquet parts in one directory.

Rows wait in memory for at most `seconds` or `rows` and are written by one thread, aside and then
renamed, so that a reader never meets half a part. A process that is killed (not stopped) loses
what waited. Writing that fails is counted and logged; it never fails a request.
"""

import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from higr.data.logs import PREDICTIONS
from higr.errors import InputError
from higr.files import write_table

logger = logging.getLogger("higr.serving")

Row = Mapping[str, Any]


class PredictionLog:
    """Appends never wait for the disk.

    Args:
        folder: created when missing.
        rows: a part is written when so many wait.
        seconds: or when the oldest has waited so long.
        waiting: rows held at most while the disk does not take them; what comes then is refused.
        on_failure: called once a refused row or failed part.
        on_write: called with the seconds each part took.

    Raises:
        InputError: the folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rows: int = 500,
        seconds: float = 5.0,
        waiting: int = 50_000,
        on_failure: Callable[[], None] = lambda: None,
        on_write: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"log folder {folder}: {error.strerror}; give one that can be written") from None
        if not os.access(folder, os.W_OK):
            raise InputError(f"log folder {folder} cannot be written to; give one that can")
        self._folder, self._rows, self._seconds = folder, rows, seconds
        self._on_failure, self._on_write = on_failure, on_write
        self._queue: queue.Queue[Row | None] = queue.Queue(waiting)
        self._parts = 0
        # The name must not repeat after a restart with the same pid, as in a container.
        self._process = uuid.uuid4().hex[:8]
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def append(self, row: Row) -> None:
        """Hand over one row with exactly the columns of `higr.data.logs.PREDICTIONS`."""
        try:
            self._queue.put_nowait(row)
        except queue.Full:
            self._on_failure()

    def close(self) -> None:
        """Write what waits; returns when it is on disk."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        waiting: list[Row] = []
        due = 0.0
        while True:
            try:
                row = self._queue.get(timeout=max(0.0, due - time.monotonic()) if waiting else None)
            except queue.Empty:
                row = {}
            if row:
                if not waiting:
                    due = time.monotonic() + self._seconds
                waiting.append(row)
            if waiting and (row is None or len(waiting) >= self._rows or time.monotonic() >= due):
                self._write(waiting)
                waiting = []
            if row is None:
                return

    def _write(self, rows: list[Row]) -> None:
        started = time.perf_counter()
        path = self._folder / f"part-{time.time_ns() // 1_000_000}-{self._process}-{self._parts:06d}.parquet"
        self._parts += 1
        try:
            write_table(path, pa.Table.from_pylist([dict(row) for row in rows], PREDICTIONS))
        except Exception as error:
            logger.error("event=prediction_log_failed rows=%d error=%s", len(rows), type(error).__name__)
            self._on_failure()
            return
        self._on_write(time.perf_counter() - started)
