"""One log: a directory of Parquet parts, read in batches and held to a bounded sample.

A part that cannot be read is left out and named; a row that cannot be used is left out and counted.
Nothing is dropped without a reason in `LogRead.skipped`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from higr.data.logs import ADDED, with_added
from higr.errors import InputError

BATCH_ROWS = 65_536
MAX_NOTES = 20

Refuse = Callable[[pa.Table], dict[str, np.ndarray]]
"""Rows of a batch to leave out: reason to (rows,) bool; the first reason that holds is the one counted."""


@dataclass(frozen=True)
class Period:
    """Rows with since <= timestamp < until belong to it; None: unbounded. Both in UTC."""

    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for name, moment in (("since", self.since), ("until", self.until)):
            if moment is not None and moment.tzinfo is None:
                raise InputError(
                    f"{name} {moment.isoformat()} has no time zone; give UTC, as in 2026-01-31T00:00Z"
                )
        if self.since and self.until and self.since >= self.until:
            raise InputError(f"since {self.since.isoformat()} is not before until {self.until.isoformat()}")

    def outside(self, timestamps: pa.ChunkedArray) -> np.ndarray:
        """(rows,) bool."""
        outside = np.zeros(len(timestamps), dtype=bool)
        if self.since is not None:
            outside |= pc.less(timestamps, pa.scalar(self.since, timestamps.type)).to_numpy()
        if self.until is not None:
            outside |= pc.greater_equal(timestamps, pa.scalar(self.until, timestamps.type)).to_numpy()
        return outside


@dataclass(frozen=True)
class LogRead:
    """What was found.

    Attributes:
        table: the log's schema; rows of the period without duplicates, a uniform sample of at most `limit`.
        rows: usable rows of the period, before sampling.
        skipped: reason to count. `part` counts files, every other reason counts rows.
        notes: one line a file that has something to be said about it; at most `MAX_NOTES`.
    """

    table: pa.Table
    rows: int
    skipped: dict[str, int]
    notes: tuple[str, ...]


def read_log(
    path: Path, schema: pa.Schema, *, key: str, period: Period, limit: int, seed: int, refuse: Refuse
) -> LogRead:
    """Read every part under `path`, folders and all; files whose name starts with a dot are being written.

    Rows with equal `key` are one row delivered twice: the first is kept. The sample takes the rows with the
    smallest seeded hash of the key, so it depends on neither the number of parts nor their order, and memory
    stays at `limit` rows plus 8 bytes a row seen.

    Raises:
        InputError: `path` is not a directory.
    """
    if not path.is_dir():
        raise InputError(
            f"log directory {path} does not exist; give the directory that serving writes its log to"
        )
    skipped: Counter[str] = Counter()
    notes: list[str] = []
    sample = _Sample(schema, limit)
    for part in sorted(path.rglob("*.parquet")):
        if any(name.startswith(".") for name in part.relative_to(path).parts):
            continue
        try:
            for batch in batches(part, schema, notes):
                table = usable(batch, schema, period, refuse, skipped)
                sample.add(table, key_hash(table[key], seed))
        except (pa.ArrowException, OSError, ValueError) as error:
            skipped["part"] += 1
            notes.append(f"{part.name}: left out: {' '.join(str(error).split())[:200]}")
    if duplicates := sample.duplicates():
        skipped["duplicate"] = duplicates
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES - 1 :] = [f"and {len(notes) - MAX_NOTES + 1} more"]
    return LogRead(sample.table(), sample.seen - duplicates, dict(sorted(skipped.items())), tuple(notes))


def key_hash(column: pa.ChunkedArray, seed: int) -> np.ndarray:
    """(rows,) uint64, the same for the same string and seed on every machine; null is the empty string."""
    values = column.fill_null("").to_numpy(zero_copy_only=False)
    return pd.util.hash_array(values.astype(object), hash_key=f"{seed % 10**16:016d}", categorize=False)


class _Sample:
    """The `limit` rows of smallest hash, one a hash, and how many rows were seen."""

    def __init__(self, schema: pa.Schema, limit: int) -> None:
        self.limit = limit
        self.pool = schema.empty_table()
        self.hashes = np.empty(0, dtype=np.uint64)
        self.all_hashes: list[np.ndarray] = []

    @property
    def seen(self) -> int:
        return sum(len(hashes) for hashes in self.all_hashes)

    def add(self, table: pa.Table, hashes: np.ndarray) -> None:
        self.all_hashes.append(hashes)
        self.pool = pa.concat_tables([self.pool, table])
        self.hashes = np.concatenate([self.hashes, hashes])
        if len(self.hashes) > 2 * self.limit:
            self._trim()

    def _trim(self) -> None:
        self.hashes, first = np.unique(self.hashes, return_index=True)
        self.hashes = self.hashes[: self.limit]
        self.pool = self.pool.take(pa.array(first[: self.limit])).combine_chunks()

    def duplicates(self) -> int:
        return self.seen - len(np.unique(np.concatenate([np.empty(0, np.uint64), *self.all_hashes])))

    def table(self) -> pa.Table:
        self._trim()
        return self.pool


def batches(
    part: Path, schema: pa.Schema, notes: list[str], wanted: Collection[str] | None = None
) -> Iterator[pa.Table]:
    """The part's rows, columns and types as `schema`, every column nullable.

    wanted: names of `schema` to read; None: all.
    """
    file = pq.ParquetFile(part)
    names = file.schema_arrow.names
    if missing := [name for name in schema.names if name not in names and name not in ADDED]:
        raise ValueError(f"column {', '.join(missing)} is missing")
    if unknown := [name for name in names if name not in schema.names]:
        notes.append(f"{part.name}: unknown column {', '.join(unknown)} ignored")
    nullable = pa.schema(
        [field.with_nullable(True) for field in schema if wanted is None or field.name in wanted]
    )
    known = [name for name in nullable.names if name in names]
    for batch in file.iter_batches(BATCH_ROWS, columns=known):
        table = with_added(pa.Table.from_batches([batch]), nullable).select(nullable.names)
        for i, field in enumerate(nullable):
            if pa.types.is_timestamp(field.type):  # finer units are cut to milliseconds, not refused
                table = table.set_column(i, field, table[i].cast(field.type, safe=False))
        yield table.cast(nullable)


def usable(
    table: pa.Table, schema: pa.Schema, period: Period, refuse: Refuse, skipped: Counter[str]
) -> pa.Table:
    """The rows to keep, in `schema`; the others are counted."""
    null = np.zeros(len(table), dtype=bool)
    for field in schema:
        if not field.nullable:
            null |= table[field.name].is_null().to_numpy()
    whole = table.filter(pa.array(~null)).cast(schema)
    reasons = {"outside": period.outside(whole["timestamp"]), **refuse(whole)}
    keep = np.ones(len(whole), dtype=bool)
    if null.any():
        skipped["malformed"] += int(null.sum())
    for reason, rows in reasons.items():
        if hit := int((keep & rows).sum()):
            skipped[reason] += hit
        keep &= ~rows
    return whole.filter(pa.array(keep))
