"""The boundary of the house: what passes here is what every later stage may rely on.

A fault of a whole file ends the stage with one line. A faulty row is put aside with its reason;
too many of them end the stage too. No row is lost: rows in = rows kept + rows put aside.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.data.conform import conform
from higr.data.faults import STATUS, Faults, event_faults, item_faults, repeats, user_faults
from higr.data.raw import RawTables
from higr.data.schemas import EVENTS, ITEMS, USERS
from higr.errors import InputError

QUARANTINE = pa.schema(
    [
        pa.field("table", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("record", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Checked:
    """Attributes:
    events: `EVENTS`, in file order.
    items: `ITEMS`, sorted by item_id.
    users: user_id and string profile columns, sorted; users known from events alone have null fields.
    quarantine: `QUARANTINE`.
    counts: per table rows `in`, `kept`, `quarantined`, and `reasons`; for users also
        `added` and `dropped_columns`.
    """

    events: pa.Table
    items: pa.Table
    users: pa.Table
    quarantine: pa.Table
    counts: dict[str, dict[str, Any]]


def validate(raw: RawTables, max_bad_share: float) -> Checked:
    """Check the three tables against one another.

    Raises:
        InputError: a whole-file fault, or a larger share of faulty rows than `max_bad_share`.
    """
    items, bad_items, item_counts = sift(
        "items", raw.items, ITEMS, raw.file("items"), item_faults, max_bad_share
    )
    _unique_items(items, raw.file("items"))
    events, bad_events, event_counts = sift(
        "events",
        raw.events,
        EVENTS,
        raw.file("events"),
        partial(event_faults, known_items=items["item_id"]),
        max_bad_share,
        key=raw.event_key,
    )
    users, bad_users, user_counts = _users(raw, max_bad_share)
    users = _with_event_users(users, events)
    user_counts["added"] = users.num_rows - user_counts["kept"]
    status = pc.fill_null(items["status"], STATUS[0])
    items = items.set_column(items.schema.get_field_index("status"), ITEMS.field("status"), status)
    return Checked(
        events=events.cast(EVENTS),
        items=items.cast(ITEMS).sort_by("item_id"),
        users=users,
        quarantine=pa.concat_tables(
            [*([] if raw.quarantine is None else [raw.quarantine]), bad_events, bad_items, bad_users]
        ),
        counts={**raw.counts, "events": event_counts, "items": item_counts, "users": user_counts},
    )


def sift(
    name: str,
    given: pa.Table,
    schema: pa.Schema,
    file: str,
    faults: Callable[[pa.Table], Faults],
    max_bad_share: float,
    key: Sequence[str] = (),
) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """Kept rows, quarantined rows, counts. Of rows with one `key` the first sound one is kept.

    Raises:
        InputError: a fault of a whole column, or a larger share of faulty rows than `max_bad_share`.
    """
    table = conform(given, schema, file)
    found = faults(table)
    reasons = ["", *(reason for reason, _ in found), f"same {', '.join(key)} as an earlier row"]
    code = np.zeros(table.num_rows, dtype=np.int8)  # index of the row's reason
    for place, (_, mask) in reversed(list(enumerate(found, start=1))):
        code[mask] = place
    good = np.flatnonzero(code == 0)
    if key:
        code[good[repeats(table.take(good), key)]] = len(reasons) - 1
    bad = np.flatnonzero(code)
    why = [reasons[place] for place in code[bad]]
    tally = Counter(why)
    if len(bad) > max_bad_share * table.num_rows:
        listed = ", ".join(f"{reason}: {count}" for reason, count in tally.most_common())
        raise InputError(
            f"{file}: {len(bad)} of {table.num_rows} rows cannot be used ({listed}), more than "
            f"data.max_bad_share {max_bad_share}; mend the file or raise the share"
        )
    if len(bad) == table.num_rows:
        raise InputError(f"{file}: none of {table.num_rows} rows can be used; mend the file")
    records = [json.dumps(_record(given, row), ensure_ascii=False) for row in bad.tolist()]
    put_aside = pa.table(
        {"table": [name] * len(bad), "row": bad, "reason": why, "record": records},
        schema=QUARANTINE,
    )
    counts = {
        "in": table.num_rows,
        "kept": table.num_rows - len(bad),
        "quarantined": len(bad),
        "reasons": dict(sorted(tally.items())),
    }
    return table.filter(pa.array(code == 0)), put_aside, counts


def _users(raw: RawTables, max_bad_share: float) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    if raw.users is None:
        counts = {"in": 0, "kept": 0, "quarantined": 0, "reasons": {}, "dropped_columns": []}
        return USERS.empty_table(), QUARANTINE.empty_table(), counts
    fields = [field for field in raw.users.schema if field.name != "user_id"]
    kept = [field.name for field in fields if _categorical(field.type)]
    named = [i for i, name in enumerate(raw.users.column_names) if name in (*kept, "user_id")]
    given = raw.users.select(named)
    for i, field in enumerate(given.schema):  # numbers and texts are made text by `conform`
        if pa.types.is_boolean(field.type):
            given = given.set_column(i, field.name, given.column(i).cast(pa.string()))
    schema = pa.schema(
        [USERS.field("user_id"), *(pa.field(name, pa.string()) for name in dict.fromkeys(kept))]
    )
    users, bad, counts = sift(
        "users", given, schema, raw.file("users"), user_faults, max_bad_share, key=("user_id",)
    )
    counts["dropped_columns"] = [field.name for field in fields if field.name not in kept]
    return users, bad, counts


def _categorical(kind: pa.DataType) -> bool:
    """Numbers with fractions, moments and lists are no categories."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_integer,
            pa.types.is_boolean,
        )
    )


def _with_event_users(users: pa.Table, events: pa.Table) -> pa.Table:
    seen = pc.unique(events["user_id"])
    new = pa.table({"user_id": seen.filter(pc.invert(pc.is_in(seen, value_set=users["user_id"])))})
    everyone = pa.concat_tables([users, new], promote_options="default").sort_by("user_id")
    return everyone.cast(
        pa.schema([USERS.field("user_id"), *(field for field in everyone.schema if field.name != "user_id")])
    )


def _unique_items(items: pa.Table, file: str) -> None:
    counts = pc.value_counts(items["item_id"].combine_chunks())
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        raise InputError(
            f"{file}: item_id has {len(repeated)} duplicates in {items.num_rows} rows, for example "
            f"{repeated[0]['values'].as_py()!r}; keep one row an item"
        )


def _record(table: pa.Table, row: int) -> dict[str, Any]:
    """A row as it was given. Read cell by cell: Arrow's `take` does not know every type."""
    return {
        name: _plain(_cell(column[row]))
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _cell(value: pa.Scalar) -> Any:
    """The Python value; Arrow's own number where Python has none, such as moments after the year 9999."""
    try:
        return value.as_py()
    except (OverflowError, ValueError, KeyError):  # KeyError: a time zone nobody knows
        return value.value if hasattr(value, "value") else f"{value.type} beyond Python's range"


def _plain(value: Any) -> Any:
    """JSON has neither moments nor NaN: both become text."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
