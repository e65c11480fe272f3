"""The prediction log: every answered slate, as Parquet parts in one directory.

A row is first a line of a journal (`serving.row_journal`), within milliseconds and by a thread of its own:
that much a killed process loses. When there are `rows` of them, or the oldest is `seconds` old, they become a
part, written aside and renamed, so that a reader never meets half a part. What cannot be written stays in
memory and is tried again; once too much waits, rows are refused and counted. No request waits for the disk.
"""

import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import orjson

from higr.data.logs import PREDICTIONS
from higr.errors import InputError
from higr.files import write_table
from serving.inbox import Inbox
from serving.retention import expire
from serving.row_journal import RowJournal, recover, tabulate

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before what failed is tried again: the first time, and at most."""
CLOSING_SECONDS = 15.0
"""Longest wait for a disk that hangs when the process ends."""
TENDED_SECONDS = 3600.0
"""How often the folder is looked through for journals of dead processes and parts that are too old."""

logger = logging.getLogger("higr.serving")

Row = Mapping[str, Any]


class PredictionLog:
    """Any number of processes may log to one folder.

    Args:
        folder: created when missing.
        rows: a part is written when so many wait.
        seconds: or when the oldest has waited so long.
        waiting: rows held at most beside those of the part while the disk does not take them.
        keep_days: parts older than this are removed; None: never.
        on_failure: called once a write that failed.
        on_drop: called with the number of rows that are lost.
        on_write: called with the seconds each part took.

    Raises:
        InputError: the folder cannot be written to.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rows: int = 20_000,
        seconds: float = 60.0,
        waiting: int = 50_000,
        keep_days: float | None = None,
        on_failure: Callable[[], None] = lambda: None,
        on_drop: Callable[[int], None] = lambda rows: None,
        on_write: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"log folder {folder}: {error.strerror}; give one that can be written") from None
        if not os.access(folder, os.W_OK):
            raise InputError(f"log folder {folder} cannot be written to; give one that can")
        self._folder, self._rows, self._seconds, self._keep_days = folder, rows, seconds, keep_days
        self._on_failure, self._on_drop, self._on_write = on_failure, on_drop, on_write
        self._inbox: Inbox[Row] = Inbox(waiting)
        self._parts = 0
        # The name must not repeat after a restart with the same pid, as in a container.
        self._process = uuid.uuid4().hex[:8]
        self._begin()
        self._due = self._again = self._tended = 0.0
        self._pause = FIRST_PAUSE
        self._tend()  # before there are rows, for which it would be a pause
        self._thread = Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def append(self, row: Row) -> None:
        """Hand over one row with the columns of `higr.data.logs.PREDICTIONS`; null ones may be left out."""
        if not self._inbox.put(row):
            self._on_drop(1)

    def close(self) -> None:
        """Write what waits; returns when it is on disk, or cannot be written and is counted."""
        self._inbox.close()
        self._thread.join(CLOSING_SECONDS)
        if self._thread.is_alive():
            logger.error("event=prediction_log_failed what=close error=disk_hangs")
            self._on_drop(len(self._inbox.take(self._inbox.most)))

    def _begin(self) -> None:
        """A part of which nothing is there yet."""
        name = f"part-{time.time_ns() // 1_000_000}-{self._process}-{self._parts:06d}.parquet"
        self._parts += 1
        self._part = self._folder / name
        self._journal = RowJournal(self._part)
        self._held: list[bytes] = []
        self._journaled = 0

    def _run(self) -> None:
        while not self._inbox.closed:
            self._hold(self._inbox.take(max(0, self._rows - len(self._held)), self._idle()))
            now = time.monotonic()
            if self._held and now >= self._again and (len(self._held) >= self._rows or now >= self._due):
                self._write()
            self._tend()
        failed = len(self._held) >= self._rows and not self._write()
        while rows := self._inbox.take(self._inbox.most if failed else self._rows - len(self._held)):
            self._hold(rows)
            failed = len(self._held) >= self._rows and not self._write()
        if self._held and not self._write():
            self._journal.leave()
            if lost := len(self._held) - self._journaled:
                self._on_drop(lost)

    def _idle(self) -> float:
        """Seconds until there is something to do even if no row comes."""
        now = time.monotonic()
        if not self._held:
            return max(0.0, self._tended - now)
        full = len(self._held) >= self._rows
        return max(0.0, (self._again if full else max(self._again, self._due)) - now)

    def _hold(self, rows: Sequence[Row]) -> None:
        """Rows in memory and, where the disk takes them, in the journal."""
        if not rows:
            return
        if not self._held:
            self._due = time.monotonic() + self._seconds
        for row in rows:
            try:
                self._held.append(_line(row))
            except (TypeError, ValueError) as error:  # one odd row must not take others with it
                self._failed("row", error)
                self._on_drop(1)
        if time.monotonic() < self._again and not self._inbox.closed:
            return
        try:
            self._journal.write(b"".join(self._held[self._journaled :]))
            self._journaled = len(self._held)
        except OSError as error:
            self._failed("journal", error)

    def _write(self) -> bool:
        """What is held becomes a part; false where it does not, and is still held."""
        started = time.perf_counter()
        try:
            table, bad = tabulate(self._held, PREDICTIONS)
            write_table(self._part, table, durable=True)
            self._journal.discard()
        except Exception as error:
            self._failed("part", error)
            return False
        self._on_write(time.perf_counter() - started)
        self._again, self._pause = 0.0, FIRST_PAUSE
        if bad:
            self._on_drop(bad)
        self._begin()
        return True

    def _tend(self) -> None:
        if time.monotonic() < self._tended:
            return
        self._tended = time.monotonic() + TENDED_SECONDS
        try:
            if left := recover(self._folder, PREDICTIONS, self._on_drop):
                logger.info("event=prediction_log_recovered journals=%d", left)
            if removed := expire(self._folder, self._keep_days):
                logger.info("event=prediction_log_expired parts=%d", removed)
        except Exception as error:
            self._failed("folder", error)
            self._tended = time.monotonic() + LONGEST_PAUSE

    def _failed(self, what: str, error: Exception) -> None:
        logger.error(
            "event=prediction_log_failed what=%s rows=%d error=%s",
            what,
            len(self._held),
            type(error).__name__,
        )
        self._on_failure()
        if isinstance(error, OSError):
            self._again = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)


def _line(row: Row) -> bytes:
    moment = int(row["timestamp"].timestamp() * 1000)
    return orjson.dumps({**row, "timestamp": moment}, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"
