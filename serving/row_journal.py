"""Rows on their way into a Parquet part: lines of JSON in a file that outlives a killed process.

A journal is named after its part, with a dot before it, so that no reader of the log takes it for one. Its
process holds a lock on it; a journal without a lock is of a process that is dead, and whoever comes next
makes the part of it. Where that part is there already, the process died after it had written it.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.json as arrow_json

from higr.files import write_table

SUFFIX = ".rows"
BLOCK_BYTES = 1 << 22
"""A line is shorter: a slate has 50 items at most."""


class RowJournal:
    """Of one part; there is no file until something is written.

    Args:
        part: path of the part.
    """

    def __init__(self, part: Path) -> None:
        self._path = part.with_name(f".{part.stem}{SUFFIX}")
        self._file: int | None = None
        self._size = 0

    def write(self, lines: bytes) -> None:
        """All of them, so that a kill does not lose them; a machine that loses its power may.

        Raises:
            OSError: they cannot be written; none of them is there.
        """
        if self._file is None:
            self._file = self._open()
        done = 0
        try:
            while done < len(lines):
                done += os.write(self._file, lines[done:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += done

    def leave(self) -> None:
        """Let go of it: the next process makes the part of it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def discard(self) -> None:
        """The part is written."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self.leave()

    def _open(self) -> int:
        # Locked before it has its name: nobody finds it without a lock.
        aside = self._path.with_name(f"{self._path.name}.new")
        file = os.open(aside, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            aside.rename(self._path)
        except OSError:
            os.close(file)
            raise
        return file


def recover(folder: Path, schema: pa.Schema, on_lost: Callable[[int], None]) -> int:
    """Make parts of the journals that dead processes left; how many there were.

    Args:
        on_lost: called with the number of rows that could not be read.

    Raises:
        OSError: a part cannot be written; its journal is still there.
    """
    found = 0
    for path in sorted(folder.glob(f".*{SUFFIX}")):
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lines = path.read_bytes().splitlines(keepends=True)  # not there: another process was first
                found += 1
                part = path.with_name(f"{path.stem.removeprefix('.')}.parquet")
                if lines and not part.exists():
                    _make(part, lines, schema, on_lost)
                path.unlink()
            finally:
                os.close(file)
    return found


def _make(part: Path, lines: list[bytes], schema: pa.Schema, on_lost: Callable[[int], None]) -> None:
    whole = [line for line in lines if line.endswith(b"\n")]
    table, bad = tabulate(whole, schema)
    if len(table):
        write_table(part, table, durable=True)
    if lost := bad + len(lines) - len(whole):
        on_lost(lost)


def tabulate(lines: Sequence[bytes], schema: pa.Schema) -> tuple[pa.Table, int]:
    """Lines as rows, and how many of them are none. Moments are written as milliseconds.

    Arrow reads them without Python's lock, which rows as objects hold for as long as a request may take.
    """
    if not lines:
        return schema.empty_table(), 0
    try:
        return _read(b"".join(lines), schema), 0
    except pa.ArrowException:
        tables = [schema.empty_table()]
        for line in lines:
            with contextlib.suppress(pa.ArrowException):
                tables.append(_read(line, schema))
        return pa.concat_tables(tables), len(lines) - (len(tables) - 1)


def _read(lines: bytes, schema: pa.Schema) -> pa.Table:
    as_written = pa.schema(
        [pa.field(f.name, pa.int64(), f.nullable) if pa.types.is_timestamp(f.type) else f for f in schema]
    )
    table = arrow_json.read_json(
        pa.BufferReader(lines),
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        parse_options=arrow_json.ParseOptions(explicit_schema=as_written, unexpected_field_behavior="ignore"),
    )
    return table.select(schema.names).cast(schema)
