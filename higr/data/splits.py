"""Three periods that follow one another: train, validation, test."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from higr.config import DataConfig
from higr.data.engine import collect, relation
from higr.errors import InputError

NAMES = ("train", "validation", "test")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Boundaries:
    """First moments of validation and test; a moment belongs to exactly one period."""

    validation_start: datetime
    test_start: datetime

    def period(self, timestamp: Any) -> Any:
        """Ibis: name of the period of an int64 millisecond column."""
        return ibis.cases(
            (timestamp < milliseconds(self.validation_start), NAMES[0]),
            (timestamp < milliseconds(self.test_start), NAMES[1]),
            else_=NAMES[2],
        )

    def mask(self, timestamps: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
        """Which of `timestamps` lie in the named period."""
        validation, test = (
            pa.scalar(moment, timestamps.type) for moment in (self.validation_start, self.test_start)
        )
        if name == NAMES[0]:
            return pc.less(timestamps, validation)
        if name == NAMES[2]:
            return pc.greater_equal(timestamps, test)
        return pc.and_(pc.greater_equal(timestamps, validation), pc.less(timestamps, test))


def milliseconds(moment: datetime) -> int:
    """Since the epoch; a moment without time zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def boundaries(events: pa.Table, config: DataConfig) -> Boundaries:
    """From the configuration, else so that the latest shares of events fall to validation and test.

    Raises:
        InputError: a period would hold no event.
    """
    count = events.num_rows
    test_row = count - round(count * config.test_fraction)
    validation_row = test_row - round(count * config.validation_fraction)
    found = Boundaries(
        _aware(config.validation_start) or _moment(events, validation_row),
        _aware(config.test_start) or _moment(events, test_row),
    )
    _check(events, found)
    return found


def _moment(events: pa.Table, row: int) -> datetime:
    """Moment of the `row`-th event in time order."""
    ordered = relation(events.select(["timestamp"])).order_by("timestamp").limit(1, offset=row)
    value = collect(ordered, pa.schema([("timestamp", pa.int64())]))["timestamp"][0].as_py()
    return _EPOCH + timedelta(milliseconds=value)


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else _EPOCH + timedelta(milliseconds=milliseconds(moment))


def _check(events: pa.Table, found: Boundaries) -> None:
    stamps = events["timestamp"]
    if all(pc.any(found.mask(stamps, name)).as_py() for name in NAMES):
        return
    span = pc.min_max(stamps).as_py()
    raise InputError(
        f"events: {events.num_rows} rows span {span['min'].isoformat()} to {span['max'].isoformat()}; with "
        f"validation from {found.validation_start.isoformat()} and test from {found.test_start.isoformat()} "
        "a period holds no event; set data.validation_start and data.test_start inside the span"
    )
