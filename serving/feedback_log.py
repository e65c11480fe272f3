"""The feedback log: what was acknowledged is on disk, each event once, as Parquet parts in one directory.

An event is first a row of an SQLite journal, committed before anybody is told that it was taken; its id is
the key, so that a client may send it as often as it likes. A thread moves rows on to Parquet. Which rows a
part holds is committed before it is written: after a crash the same part is written again under its name.
"""

import asyncio
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import orjson
import pyarrow as pa

from higr.data.logs import FEEDBACK
from higr.errors import InputError
from higr.files import write_table
from serving.redaction import Redaction
from serving.retention import expire
from serving.schemas import FeedbackEvent

JOURNAL = "journal.sqlite"
ROWS = 20_000
"""Of a part at most."""
AT_ONCE = 500
"""Rows that become Arrow's at once: no other thread runs meanwhile."""
REMEMBERED_DAYS = 7.0
"""For which the id of an event is known as one that was there."""
TENDED_SECONDS = 3600.0
"""How often the folder is looked through for parts that are too old."""

TABLES = """
create table if not exists event (id text primary key, taken real not null, part integer, row blob);
create index if not exists waiting on event (part) where row is not null;
create index if not exists age on event (taken);
create table if not exists journal (name text not null, parts integer not null);
"""

logger = logging.getLogger("higr.serving")


class FeedbackLog:
    """One process a folder.

    Args:
        folder: created when missing.
        on_failure: called once for each part that could not be written; it is tried again.
        seconds: longest time in which an event becomes a row of a part.
        keep_days: parts older than this are removed; None: never.
        redaction: what of an event is kept.
        on_kept: called with the events that are on disk, those that were there before too.

    Raises:
        InputError: the folder cannot be written to, or another process has it.
    """

    def __init__(
        self,
        folder: Path,
        on_failure: Callable[[], None] = lambda: None,
        *,
        seconds: float = 60.0,
        keep_days: float | None = None,
        redaction: Redaction | None = None,
        on_kept: Callable[[Sequence[FeedbackEvent]], None] | None = None,
    ) -> None:
        self._folder, self._on_failure, self._on_kept = folder, on_failure, on_kept
        self._seconds, self._keep_days, self._redaction = seconds, keep_days, redaction or Redaction()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._journal = self._open(folder / JOURNAL)
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"feedback folder {folder}: {error}; give one that can be written and no other process has"
            ) from None
        # One thread at a time has the journal; writing Parquet must not hold up who adds.
        self._lock = threading.Lock()
        self._adding = ThreadPoolExecutor(1, thread_name_prefix="feedback")
        self._closing = threading.Event()
        self._moving = threading.Thread(target=self._run, name="feedback-log", daemon=True)
        self._moving.start()

    async def add(self, events: Sequence[FeedbackEvent]) -> int:
        """Keep events; returns, once they are on disk, how many were not there before.

        Raises:
            OSError: they cannot be kept; none of them was.
        """
        kept = [self._redaction.feedback(event) for event in events]
        new = await asyncio.get_running_loop().run_in_executor(self._adding, self._add, kept)
        if self._on_kept is not None:
            self._on_kept(kept)
        return new

    def close(self) -> None:
        """Move all rows on to Parquet and let the folder go."""
        self._adding.shutdown()
        self._closing.set()
        self._moving.join()
        self._journal.close()

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        journal = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
        journal.execute("pragma locking_mode = exclusive")
        journal.execute("pragma journal_mode = wal")
        journal.execute("pragma synchronous = full")
        journal.executescript(TABLES)
        with _transaction(journal):
            if journal.execute("select count(*) from journal").fetchone() == (0,):
                journal.execute("insert into journal values (?, 0)", (uuid.uuid4().hex[:8],))
        return journal

    def _add(self, events: Sequence[FeedbackEvent]) -> int:
        now = time.time()
        rows = [(event.event_id, now, event.model_dump_json()) for event in events]
        try:
            with self._lock, _transaction(self._journal):
                before = self._journal.total_changes
                insert = "insert or ignore into event (id, taken, row) values (?, ?, ?)"
                self._journal.executemany(insert, rows)
                return self._journal.total_changes - before
        except sqlite3.Error as error:
            raise OSError(f"feedback journal: {error}") from None

    def _run(self) -> None:
        last, tended = False, 0.0
        while not last:
            last = self._closing.wait(self._seconds)
            try:
                while self._move() == ROWS:
                    pass
                if time.monotonic() > tended:
                    tended = time.monotonic() + TENDED_SECONDS
                    expire(self._folder, self._keep_days)
            except Exception as error:
                # Whatever the disk does, the rows stay in the journal and are tried again.
                logger.error("event=feedback_log_failed error=%s", type(error).__name__)
                self._on_failure()

    def _move(self) -> int:
        """Rows on to parts; how many of them were new."""
        with self._lock, _transaction(self._journal):
            (name, parts) = self._journal.execute("select name, parts from journal").fetchone()
            forgotten = time.time() - REMEMBERED_DAYS * 86_400
            self._journal.execute("delete from event where taken < ? and row is null", (forgotten,))
            taken = self._journal.execute(
                "update event set part = ? where id in "
                "(select id from event where row is not null and part is null order by taken limit ?)",
                (parts, ROWS),
            ).rowcount
            if taken:
                self._journal.execute("update journal set parts = parts + 1")
            due = self._journal.execute(
                "select part, row from event where row is not null and part is not null order by part, id"
            ).fetchall()
        by_part: dict[int, list[bytes]] = {}
        for part, row in due:
            by_part.setdefault(part, []).append(row)
        for part, rows in by_part.items():
            table = _table(rows)
            # Durable, for what the journal forgets next has to be somewhere if the machine loses its power.
            write_table(self._folder / f"part-{name}-{part:09d}.parquet", table, durable=True)
            with self._lock, _transaction(self._journal):
                self._journal.execute("update event set row = null where part = ?", (part,))
        return taken


@contextmanager
def _transaction(journal: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    journal.execute("begin immediate")
    try:
        yield
    except BaseException:
        if journal.in_transaction:  # a full disk has ended it already
            journal.execute("rollback")
        raise
    journal.execute("commit")


def _table(rows: Sequence[bytes]) -> pa.Table:
    starts = range(0, len(rows), AT_ONCE)
    return pa.concat_tables(
        pa.Table.from_pylist([_row(row) for row in rows[start : start + AT_ONCE]], FEEDBACK)
        for start in starts
    )


def _row(written: bytes) -> dict[str, object]:
    row = orjson.loads(written)
    row["timestamp"] = datetime.fromisoformat(row["timestamp"])
    return row
