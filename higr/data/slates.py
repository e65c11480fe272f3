"""Exposures grouped into slates: by request, by session gap, or in chunks."""

from dataclasses import dataclass
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from higr.config import DataConfig
from higr.data.engine import collect, relation
from higr.data.schemas import SLATES
from higr.data.splits import Boundaries
from higr.errors import InputError

_ORDER = ("timestamp", "position", "item_id")
_SIZES = (pa.field("length", pa.int64()), pa.field("exposures", pa.int64()))


@dataclass(frozen=True)
class SlateCounts:
    """Where the events went: kept_events + repeats + short_events + unplaced is all of them.

    Attributes:
        short: slates left out because fewer than min_slate_size distinct items remained.
        repeats: later exposures of an item inside its slate.
        unplaced: events without request id where `slates: request` asks for one.
    """

    slates: int
    kept_events: int
    short: int
    short_events: int
    repeats: int
    unplaced: int


def build_slates(events: pa.Table, limits: Boundaries, config: DataConfig) -> tuple[pa.Table, SlateCounts]:
    """`LABELLED_EVENTS` to `SLATES`, sorted by (timestamp, slate_id).

    Raises:
        InputError: the configured way of grouping cannot be applied, or no slate is long enough.
    """
    mode = config.slates
    if mode == "session" and config.session_gap_minutes is None:
        raise InputError("data.slates: session needs data.session_gap_minutes; set it, for example to 30")
    if mode == "request" and events["request_id"].null_count == events.num_rows:
        raise InputError(
            f"events: none of {events.num_rows} rows has request_id, which data.slates: request needs; "
            "supply the column or set data.slates: auto"
        )
    expression = slates(exposures(relation(events), limits, config)).order_by(["timestamp", "slate_id"])
    every = collect(expression, pa.schema([*SLATES, *_SIZES]))
    long_enough = pc.greater_equal(every["length"], config.min_slate_size)
    table, short = every.filter(long_enough), every.filter(pc.invert(long_enough))
    if not table.num_rows:
        raise InputError(
            f"events: {events.num_rows} rows give no slate of at least {config.min_slate_size} distinct "
            "items; lower data.min_slate_size or supply more events"
        )
    kept, short_events = _sum(table["length"]), _sum(short["exposures"])
    counts = SlateCounts(
        slates=table.num_rows,
        kept_events=kept,
        short=short.num_rows,
        short_events=short_events,
        repeats=_sum(table["exposures"]) - kept,
        unplaced=events.num_rows - _sum(table["exposures"]) - short_events,
    )
    return table.select(SLATES.names), counts


def exposures(events: Any, limits: Boundaries, config: DataConfig) -> Any:
    """Ibis events with `split`, `slate_id` and `occurrence` (0: the item's first in its slate).

    A slate lies within one period: the period is part of its key.
    """
    by_user = ibis.window(group_by="user_id", order_by=[events[name] for name in _ORDER])
    pause = events.timestamp - events.timestamp.lag().over(by_user)
    placed = events.mutate(split=limits.period(events.timestamp), pause=pause)
    placed = placed.mutate(unit=_unit(placed, config)).filter(lambda t: t.unit.notnull())
    by_unit = ibis.window(group_by=["user_id", "split", "unit"], order_by=[placed[name] for name in _ORDER])
    placed = placed.mutate(chunk=(ibis.row_number().over(by_unit) // config.slate_size).cast("int64"))
    placed = placed.mutate(
        slate_id=placed.user_id + "/" + placed.split + "/" + placed.unit + "/" + placed.chunk.cast("string")
    )
    by_item = ibis.window(group_by=["slate_id", "item_id"], order_by=[placed[name] for name in _ORDER])
    return placed.mutate(occurrence=ibis.row_number().over(by_item))


def slates(placed: Any) -> Any:
    """Ibis: one row a slate with the columns of `SLATES`, `length` (distinct items) and `exposures`."""
    placed = placed.mutate(exposures=placed.count().over(group_by="slate_id"))
    distinct = placed.filter(placed.occurrence == 0)
    by_slate = ibis.window(group_by="slate_id", order_by=[distinct[name] for name in _ORDER])
    row = ibis.struct(
        {
            "rank": ibis.row_number().over(by_slate),
            **{n: distinct[n] for n in ("item_id", "watch_seconds", "strength", "feedback", "surface")},
        }
    )
    distinct = distinct.mutate(row=row)
    grouped = distinct.group_by(["slate_id", "user_id", "split"]).aggregate(
        timestamp=distinct.timestamp.min(),
        rows=distinct.row.collect(),
        length=distinct.count(),
        exposures=distinct.exposures.max(),
    )
    rows = grouped.rows.sort()
    return grouped.mutate(
        history_cutoff=grouped.timestamp,
        item_ids=rows.map(lambda row: row.item_id),
        watch_seconds=rows.map(lambda row: row.watch_seconds),
        strength=rows.map(lambda row: row.strength),
        feedback=rows.map(lambda row: row.feedback),
        surface=rows[0].surface,
    )


def _unit(events: Any, config: DataConfig) -> Any:
    """What a slate may not reach beyond, as a string; null: in no slate."""
    request = ibis.literal("r") + events.request_id
    if config.slates == "request":
        return request
    other: Any = ibis.literal("c")
    if config.slates == "session" or (config.slates == "auto" and config.session_gap_minutes is not None):
        gap = int((config.session_gap_minutes or 0) * 60_000)
        so_far = ibis.window(
            group_by="user_id", order_by=[events[name] for name in _ORDER], preceding=None, following=0
        )
        other = ibis.literal("s") + ibis.coalesce(events.pause > gap, False).cast("int64").sum().over(
            so_far
        ).cast("string")
    return ibis.coalesce(request, other) if config.slates == "auto" else other


def _sum(column: pa.ChunkedArray) -> int:
    return pc.sum(column).as_py() or 0
