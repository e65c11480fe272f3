"""What the drift job keeps between its runs: a few files a day, never the logs themselves.

    state.json              which parts were read, which files below are in force
    tally-DAY-RUN.parquet   monitoring.tally.TALLY of one day
    sample-DAY-RUN.parquet  monitoring.sample.SAMPLE of one day
    sum-*                   the first two of a day added up: made when first asked for
    keys-DAY-RUN.npz        hashes of the rows of a day, as long as its rows may still come

A run writes new files aside and then `state.json` over the old one: a run that is killed has done nothing.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from higr.errors import InputError
from higr.files import atomic_file, read_json, read_table, write_json, write_table
from monitoring.sample import SAMPLE, Sample
from monitoring.seen import SeenKeys
from monitoring.tally import DAY_HOURS, TALLY, Tally, summed

STATE = "state.json"
KEYS = ("predictions", "feedback", "foreign", "shown")
LATE_DAYS = 3
"""Rows of a day are taken until the newest row is so many days newer; then they are `late`, and counted."""
KEPT_DAYS = 120


class Ledger(BaseModel):
    """`state.json`.

    Attributes:
        versions: of bundles whose slates were taken.
        run: number of runs that changed something.
        parts: log to part to its size and time of change: a part is read once, a broken one again when it
            changed.
        newest_hour: of any row taken; -1 before the first.
        sample_share: the least that the prediction log was sampled with.
        tally, sample, keys: day since 1970 to file name.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    versions: list[str] = []
    run: int = 0
    parts: dict[str, dict[str, tuple[int, int]]] = {}
    newest_hour: int = -1
    sample_share: float = 1.0
    tally: dict[int, str] = {}
    sample: dict[int, str] = {}
    keys: dict[int, str] = {}


class State:
    """Open with `opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = self._ledger()
        self.seen = {kind: SeenKeys() for kind in KEYS}
        for day, name in self.ledger.keys.items():
            with self._arrays(name) as arrays:
                for kind in KEYS:
                    if len(arrays[kind]):
                        self.seen[kind].put(day, arrays[kind])
        self._samples: dict[int, Sample] = {}
        self._tally = Tally()

    @property
    def closed_day(self) -> int:
        """Rows of days before it come too late."""
        return self.ledger.newest_hour // DAY_HOURS - LATE_DAYS if self.ledger.newest_hour >= 0 else -1

    @property
    def days(self) -> list[int]:
        return sorted(self.ledger.tally)

    def tally(self, since_hour: int, until_hour: int) -> pa.Table:
        """`TALLY` rows of since <= hour < until that were saved; a day's own rows are at its first hour."""
        first, last = since_hour // DAY_HOURS, -(-until_hour // DAY_HOURS)
        tables = [
            read_table(self.path / name) for day, name in self.ledger.tally.items() if first <= day < last
        ]
        return pa.concat_tables([TALLY.empty_table(), *(table.cast(TALLY) for table in tables)])

    def day_sum(self, day: int, measure: Callable[[pa.Table], list[pa.Table]], mark: str) -> pa.Table:
        """`TALLY` rows of a whole day, its hours added up, with what its sampled slates say.

        measure: `SAMPLE` to `TALLY` rows. mark: what distinguishes this measure from others.
        """
        if day not in self.ledger.tally:
            return TALLY.empty_table()
        path = self.path / f"sum-{mark}-{self.ledger.sample.get(day, '')}-{self.ledger.tally[day]}"
        if not path.exists():
            hourly = self.tally(day * DAY_HOURS, (day + 1) * DAY_HOURS)
            rows = pa.concat_tables([hourly, *measure(self.sample(day))])
            whole = rows.group_by(["block", "column", "cell"]).aggregate([("n", "sum"), ("total", "sum")])
            hour = pa.array(np.full(len(whole), day * DAY_HOURS, np.int32))
            columns = [hour, *(whole[c] for c in ("block", "column", "cell", "n_sum", "total_sum"))]
            write_table(path, pa.table(columns, schema=TALLY))
        return read_table(path).cast(TALLY)

    def sample(self, day: int) -> pa.Table:
        """`SAMPLE` rows of a day that were saved."""
        name = self.ledger.sample.get(day)
        return SAMPLE.empty_table() if name is None else read_table(self.path / name).cast(SAMPLE)

    def adding(self) -> Tally:
        """Where this run counts."""
        return self._tally

    def sampling(self, day: int) -> Sample:
        """Where this run samples the rows of a day."""
        if day not in self._samples:
            self._samples[day] = Sample(self.sample(day))
        return self._samples[day]

    def save(self) -> None:
        """Put what was added in force."""
        ledger = self.ledger
        ledger.run += 1
        added = self._tally.table()
        by_day = added["hour"].to_numpy() // DAY_HOURS
        for day in np.unique(by_day).tolist():
            tables = [added.filter(pa.array(by_day == day))]
            if day in ledger.tally:
                tables.append(read_table(self.path / ledger.tally[day]).cast(TALLY))
            ledger.tally[day] = self._write("tally", day, summed(tables))
        for day, sample in self._samples.items():
            ledger.sample[day] = self._write("sample", day, sample.table())
        touched = set().union(*(seen.touched for seen in self.seen.values()))
        for day in sorted(touched):
            name = f"keys-{day}-{ledger.run}.npz"
            with atomic_file(self.path / name) as aside, aside.open("wb") as file:
                arrays: dict[str, Any] = {kind: seen.day(day) for kind, seen in self.seen.items()}
                np.savez(file, **arrays)
            ledger.keys[day] = name
        ledger.keys = {day: name for day, name in ledger.keys.items() if day >= self.closed_day}
        oldest = max(ledger.tally, default=0) - KEPT_DAYS
        for files in (ledger.tally, ledger.sample):
            for day in [day for day in files if day < oldest]:
                del files[day]
        write_json(self.path / STATE, ledger.model_dump(mode="json"))
        self._sweep()
        self._tally, self._samples = Tally(), {}

    def _write(self, kind: str, day: int, table: pa.Table) -> str:
        name = f"{kind}-{day}-{self.ledger.run}.parquet"
        write_table(self.path / name, table)
        return name

    def _sweep(self) -> None:
        ledger = self.ledger
        kept = {STATE, "lock", *ledger.tally.values(), *ledger.sample.values(), *ledger.keys.values()}
        for file in self.path.iterdir():
            known = file.name in kept or (
                file.name.startswith("sum-")
                and any(file.name.endswith(name) for name in ledger.tally.values())
            )
            if file.is_file() and not known and not file.name.startswith("."):
                file.unlink(missing_ok=True)

    def _ledger(self) -> Ledger:
        if not (self.path / STATE).exists():
            return Ledger()
        try:
            return Ledger.model_validate(read_json(self.path / STATE))
        except ValidationError as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{self.path / STATE} is not this version's state ({reason}); give another --state, "
                "the logs are then read again"
            ) from None

    def _arrays(self, name: str) -> Any:
        try:
            return np.load(self.path / name, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path / name} cannot be read ({error}); give another --state, the logs "
                "are then read again"
            ) from None


@contextmanager
def opened(path: Path) -> Iterator[State]:
    """The state in `path`, for this process alone; what was not saved is lost.

    Raises:
        InputError: another process has it, or it cannot be read or made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / "lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise InputError(f"state {path} cannot be made ({error.strerror}); give another --state") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"state {path} is in use by another run of the drift job; wait for it to end"
            ) from None
        yield State(path)
    finally:
        os.close(lock)
