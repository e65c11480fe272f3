"""Faulty rows are put aside with their reason; none is lost."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.config import DataConfig
from higr.data.raw import RawTables
from higr.data.schemas import EVENTS, ITEMS
from higr.data.validate import validate
from higr.errors import InputError

Tables = dict[str, pa.Table]
FAULTS: list[tuple[str, Any, str]] = [
    ("user_id", None, "user_id is null or empty"),
    ("user_id", "", "user_id is null or empty"),
    ("item_id", None, "item_id is null or empty"),
    ("item_id", "ghost", "item_id is not in items"),
    ("timestamp", None, "timestamp is null"),
    ("timestamp", 1_700_000_000, "timestamp is out of range"),
    ("watch_seconds", math.nan, "watch_seconds is NaN, infinite or negative"),
    ("watch_seconds", -1.0, "watch_seconds is NaN, infinite or negative"),
    ("watch_seconds", math.inf, "watch_seconds is NaN, infinite or negative"),
    ("duration_seconds", math.nan, "duration_seconds is NaN, infinite or negative"),
    ("duration_seconds", -0.5, "duration_seconds is NaN, infinite or negative"),
    ("position", -1, "position is negative"),
]
REPEATED = "same user_id, item_id, timestamp as an earlier row"


def spoil(events: pa.Table, faults: dict[int, tuple[str, Any, str]]) -> pa.Table:
    rows = events.to_pylist()
    for row, (column, value, _) in faults.items():
        rows[row][column] = value
    return pa.Table.from_pylist(rows, schema=events.schema)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault[0]}={fault[1]}")
def test_one_faulty_event(fault: tuple[str, Any, str], good: dict[str, pa.Table]) -> None:
    raw = RawTables(spoil(good["events"], {17: fault}), good["items"], good["users"])
    checked = validate(raw, max_bad_share=0.05)
    assert checked.quarantine.drop_columns(["record"]).to_pylist() == [
        {"table": "events", "row": 17, "reason": fault[2]}
    ]
    record = json.loads(checked.quarantine["record"][0].as_py())
    finite = not isinstance(fault[1], float) or math.isfinite(fault[1])
    assert record[fault[0]] == (fault[1] if finite else str(fault[1]))
    assert checked.events.schema == EVENTS
    assert checked.events.num_rows == 239


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_row_is_lost(good: dict[str, pa.Table], data: st.DataObject) -> None:
    count = 60
    events = good["events"].slice(0, count)
    bad = data.draw(st.dictionaries(st.integers(0, count - 1), st.sampled_from(FAULTS), max_size=30))
    again = data.draw(st.lists(st.integers(0, count - 1), max_size=10))
    spoiled = spoil(events, bad)
    spoiled = pa.concat_tables([spoiled, spoiled.take(pa.array(again, pa.int64()))])
    checked = validate(RawTables(spoiled, good["items"], None), max_bad_share=1.0)
    put_aside = checked.quarantine["row"].to_pylist()
    assert len(set(put_aside)) == len(put_aside)
    assert checked.events.num_rows + len(put_aside) == spoiled.num_rows == checked.counts["events"]["in"]
    kept = np.setdiff1d(np.arange(spoiled.num_rows), put_aside)
    assert checked.events["item_id"].to_pylist() == spoiled.take(kept)["item_id"].to_pylist()
    reasons = dict(zip(put_aside, checked.quarantine["reason"].to_pylist(), strict=True))
    assert {row: reasons[row] for row in bad} == {row: reason for row, (_, _, reason) in bad.items()}
    sources = list(range(count)) + again
    for row, reason in reasons.items():
        assert reason == (bad[sources[row]][2] if sources[row] in bad else REPEATED)


def test_a_sound_row_survives_its_faulty_twin(good: dict[str, pa.Table]) -> None:
    events = good["events"].slice(0, 40)
    twice = pa.concat_tables([spoil(events, {3: FAULTS[6]}), events.slice(3, 1)])
    checked = validate(RawTables(twice, good["items"], None), max_bad_share=0.05)
    assert checked.counts["events"]["quarantined"] == 1
    assert checked.events.num_rows == 40


def test_items_and_users(good: dict[str, pa.Table]) -> None:
    items = [
        *({"item_id": f"i{i:02d}", "category": "c", "embedding": [0.0, 1.0]} for i in range(12)),
        {"item_id": None, "category": "c"},
        {"item_id": "a", "category": None},
        {"item_id": "b", "category": "c", "duration_seconds": math.nan},
        {"item_id": "d", "category": "c", "embedding": [1.0]},
        {"item_id": "e", "category": "c", "embedding": [1.0, math.nan]},
        {"item_id": "f", "category": "c", "status": "hidden"},
        {"item_id": "g", "category": "c", "status": "disabled", "value": -2.5},
        {"item_id": "h", "category": "c", "value": math.nan},
    ]
    schema = pa.schema(
        [
            field.with_nullable(True)
            for field in ITEMS
            if field.name in ("item_id", "category", "embedding", "duration_seconds", "status", "value")
        ]
    )
    users = pa.table({"user_id": ["u5", "u5", None, "u9"], "age": ["1", "2", "3", "4"]})
    checked = validate(RawTables(good["events"], pa.Table.from_pylist(items, schema=schema), users), 0.6)
    assert checked.items.schema == ITEMS
    assert checked.items["item_id"].to_pylist() == ["g", *(f"i{i:02d}" for i in range(12))]
    assert checked.items["status"].to_pylist() == ["disabled", *["active"] * 12]
    assert checked.items["value"].to_pylist() == [-2.5, *[None] * 12]
    assert [row["reason"] for row in checked.quarantine.to_pylist()] == [
        "item_id is null or empty",
        "category is null or empty",
        "duration_seconds is NaN, infinite or negative",
        "embedding has another length than most",
        "embedding holds null, NaN or infinity",
        "status is neither active nor disabled",
        "value is NaN or infinite",
        "same user_id as an earlier row",
        "user_id is null or empty",
    ]
    assert checked.users.to_pydict()["user_id"] == [*(f"u{i}" for i in range(6)), "u9"]
    assert checked.users.to_pydict()["age"] == [None] * 5 + ["1", "4"]
    assert checked.counts["users"]["added"] == 5


@pytest.mark.parametrize("unit", ["s", "ms"])
@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize("moment", ["year 31_000", "least", "wraps around to 2026"])
def test_a_moment_python_cannot_hold(unit: str, zone: str | None, moment: str, good: Tables) -> None:
    a_second = {"s": 1, "ms": 1000}[unit]
    odd = {
        "year 31_000": 920_000_000_000 * a_second,
        "least": -(2**63) + 1,
        "wraps around to 2026": 2**64 // 1000 + 1_770_000_000
        if unit == "s"
        else 2**62,  # times 1000 in int64
    }[moment]
    stamps = [time // (1000 // a_second) for time in good["events"]["timestamp"].to_pylist()]
    stamps[17] = odd
    place = good["events"].column_names.index("timestamp")
    events = good["events"].set_column(place, "timestamp", pa.array(stamps, pa.timestamp(unit, zone)))
    checked = validate(RawTables(events, good["items"], None), max_bad_share=0.05)
    assert checked.quarantine["row"].to_pylist()[0] == 17
    assert checked.quarantine["reason"].to_pylist()[0] == "timestamp is out of range"
    assert json.loads(checked.quarantine["record"][0].as_py())["timestamp"] == odd


TEXT = {
    "string_view": lambda column: column.cast(pa.string_view()),
    "large_string": lambda column: column.cast(pa.large_string()),
    "dictionary": lambda column: column.dictionary_encode(),
    "large dictionary": lambda column: column.cast(pa.large_string()).dictionary_encode(),
}


@pytest.mark.parametrize("kind", TEXT)
def test_any_kind_of_text(kind: str, good: Tables) -> None:
    def change(table: pa.Table, *names: str) -> pa.Table:
        for name in names:
            table = table.set_column(table.column_names.index(name), name, TEXT[kind](table[name]))
        return table

    spoiled = spoil(good["events"], {17: FAULTS[7]})
    plain = validate(RawTables(spoiled, good["items"], good["users"]), max_bad_share=0.05)
    checked = validate(
        RawTables(
            change(spoiled, "user_id", "item_id", "request_id"),
            change(good["items"], "item_id", "category", "text"),
            change(good["users"], "user_id", "age"),
        ),
        max_bad_share=0.05,
    )
    assert checked == plain
    assert checked.quarantine.num_rows == 1


def test_too_many_faulty_rows_stop_the_stage(
    good: dict[str, pa.Table], write: Callable[..., DataConfig], stage: Callable
) -> None:
    thirteen = spoil(good["events"], dict.fromkeys(range(13), FAULTS[7]))  # 5.4 % of 240
    with pytest.raises(
        InputError, match=r"events\.parquet: 13 of 240 rows .*negative: 13.*max_bad_share 0\.05"
    ):
        stage(write(good | {"events": thirteen}))
    data = stage(write(good | {"events": thirteen}, max_bad_share=0.06))
    assert data.quarantine.num_rows == 13
    assert data.report["rows"]["events"]["reasons"] == {FAULTS[7][2]: 13}
