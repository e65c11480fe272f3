"""Which rows cannot be used, and why. A row's first reason counts."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.data.conform import EARLIEST_MS, LATEST_MS

STATUS = ("active", "disabled")
Mask = np.ndarray  # (rows,) bool, True: faulty
Faults = list[tuple[str, Mask]]


def item_faults(items: pa.Table) -> Faults:
    lengths = pc.list_value_length(items["embedding"])
    usual = pc.mode(lengths)
    width = usual[0]["mode"].as_py() if len(usual) else None
    status = pc.is_in(items["status"], value_set=pa.array([*STATUS, None], pa.string()))
    return [
        ("item_id is null or empty", blank(items["item_id"])),
        ("category is null or empty", blank(items["category"])),
        ("duration_seconds is NaN, infinite or negative", _unreal(items["duration_seconds"], 0)),
        ("created_at is out of range", _odd_moment(items["created_at"])),
        ("value is NaN or infinite", _unreal(items["value"], None)),
        ("status is neither active nor disabled", ~_mask(status)),
        (
            "embedding has another length than most",
            _mask(pc.not_equal(lengths, width)) if width is not None else _none(items),
        ),
        ("embedding holds null, NaN or infinity", _odd_embedding(items["embedding"])),
    ]


def event_faults(events: pa.Table, known_items: pa.ChunkedArray) -> Faults:
    unknown = ~_mask(pc.is_in(events["item_id"], value_set=known_items))
    return [
        ("user_id is null or empty", blank(events["user_id"])),
        ("item_id is null or empty", blank(events["item_id"])),
        ("timestamp is null", _mask(pc.is_null(events["timestamp"]))),
        ("timestamp is out of range", _odd_moment(events["timestamp"])),
        ("watch_seconds is NaN, infinite or negative", _unreal(events["watch_seconds"], 0)),
        ("duration_seconds is NaN, infinite or negative", _unreal(events["duration_seconds"], 0)),
        ("rating is NaN or infinite", _unreal(events["rating"], None)),
        ("position is negative", _mask(pc.less(events["position"], 0))),
        ("item_id is not in items", unknown),
    ]


def user_faults(users: pa.Table) -> Faults:
    return [("user_id is null or empty", blank(users["user_id"]))]


def repeats(table: pa.Table, keys: Sequence[str]) -> Mask:
    """True for every row but the first of each key."""
    numbered = table.select(list(keys)).append_column("row", pa.array(np.arange(table.num_rows)))
    first = numbered.group_by(list(keys)).aggregate([("row", "min")])["row_min"].to_numpy()
    faulty = np.ones(table.num_rows, dtype=bool)
    faulty[first] = False
    return faulty


def _mask(values: Any) -> Mask:
    return pc.fill_null(values, False).to_numpy()


def _none(table: pa.Table) -> Mask:
    return np.zeros(table.num_rows, dtype=bool)


def blank(column: pa.ChunkedArray) -> Mask:
    return pc.equal(pc.fill_null(column, ""), "").to_numpy()


def _unreal(column: pa.ChunkedArray, least: float | None) -> Mask:
    values = pc.fill_null(column, 0.0).to_numpy()
    faulty = ~np.isfinite(values)
    return faulty if least is None else faulty | (values < least)


def _odd_moment(column: pa.ChunkedArray) -> Mask:
    stamps = pc.fill_null(column.cast(pa.int64()), EARLIEST_MS).to_numpy()
    return (stamps < EARLIEST_MS) | (stamps > LATEST_MS)


def _odd_embedding(column: pa.ChunkedArray) -> Mask:
    faulty = np.zeros(len(column), dtype=bool)
    values = pc.list_flatten(column)
    owner = pc.list_parent_indices(column).to_numpy()
    faulty[owner[~np.isfinite(pc.fill_null(values, math.nan).to_numpy())]] = True
    return faulty
