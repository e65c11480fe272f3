"""One log: what is read, what is left out, and that every row is accounted for."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.errors import InputError
from monitoring.parts import MAX_NOTES, LogRead, Period, key_hash, read_log

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("value", pa.float32()),
    ]
)
START = datetime(2026, 3, 1, tzinfo=UTC)


def rows(keys: list[str], minutes: int = 0) -> pa.Table:
    moments = [START + timedelta(minutes=minutes + i) for i in range(len(keys))]
    return pa.table({"key": keys, "timestamp": moments, "value": [1.0] * len(keys)}, schema=SCHEMA)


def read(path: Path, limit: int = 1000, seed: int = 0, **kwargs: Any) -> LogRead:
    options: dict[str, Any] = {"period": Period(), "refuse": lambda table: {}} | kwargs
    return read_log(path, SCHEMA, key="key", limit=limit, seed=seed, **options)


def test_parts_of_any_number_and_depth_are_one_log(tmp_path: Path) -> None:
    pq.write_table(rows(["a", "b"]), tmp_path / "one.parquet")
    (tmp_path / "day=2").mkdir()
    pq.write_table(rows(["c"]), tmp_path / "day=2" / "two.parquet")
    pq.write_table(rows(["half-written"]), tmp_path / ".three.parquet")
    (tmp_path / "notes.txt").write_text("not a part")
    log = read(tmp_path)
    assert sorted(log.table["key"].to_pylist()) == ["a", "b", "c"]
    assert log.table.schema == SCHEMA
    assert (log.rows, log.skipped, log.notes) == (3, {}, ())


def test_empty_directory_is_an_empty_log(tmp_path: Path) -> None:
    log = read(tmp_path)
    assert (log.rows, len(log.table), log.skipped) == (0, 0, {})


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"log directory .*nowhere does not exist; give"):
        read(tmp_path / "nowhere")


def test_duplicates_across_and_inside_parts(tmp_path: Path) -> None:
    pq.write_table(rows(["a", "b", "a"]), tmp_path / "1.parquet")
    pq.write_table(rows(["b", "c"], minutes=100), tmp_path / "2.parquet")
    log = read(tmp_path)
    assert (log.rows, log.skipped) == (3, {"duplicate": 2})
    first = dict(zip(log.table["key"].to_pylist(), log.table["timestamp"].to_pylist(), strict=True))
    assert first == {"a": START, "b": START + timedelta(minutes=1), "c": START + timedelta(minutes=101)}


def _without_value(path: Path) -> None:
    pq.write_table(rows(["x"]).drop_columns(["value"]), path)


def _of_another_type(path: Path) -> None:
    pq.write_table(rows(["x"]).set_column(2, "value", pa.array(["much"])), path)


def _truncated(path: Path) -> None:
    pq.write_table(rows(["x"] * 1000), path)
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b""), "Parquet file size is 0 bytes"),
        (lambda path: path.write_bytes(b"PAR1 no more"), "left out"),
        (_truncated, "left out"),
        (_without_value, "column value is missing"),
        (_of_another_type, "much"),
    ],
    ids=["empty", "garbage", "truncated", "missing column", "wrong type"],
)
def test_unreadable_part_is_left_out_and_named(tmp_path: Path, spoil: Any, reason: str) -> None:
    spoil(tmp_path / "bad.parquet")
    pq.write_table(rows(["a"]), tmp_path / "good.parquet")
    log = read(tmp_path)
    assert (log.table["key"].to_pylist(), log.skipped) == (["a"], {"part": 1})
    assert len(log.notes) == 1
    assert log.notes[0].startswith("bad.parquet: left out: ")
    assert reason in log.notes[0]
    assert "\n" not in log.notes[0]


def test_many_bad_parts_are_all_counted_and_some_named(tmp_path: Path) -> None:
    for part in range(MAX_NOTES + 5):
        (tmp_path / f"{part}.parquet").write_bytes(b"")
    log = read(tmp_path)
    assert log.skipped == {"part": MAX_NOTES + 5}
    assert len(log.notes) == MAX_NOTES
    assert log.notes[-1] == "and 6 more"


def test_unknown_column_is_ignored_and_named(tmp_path: Path) -> None:
    pq.write_table(rows(["a"]).append_column("mood", pa.array(["good"])), tmp_path / "new.parquet")
    log = read(tmp_path)
    assert (log.rows, log.notes) == (1, ("new.parquet: unknown column mood ignored",))


def test_a_log_from_before_a_column_was_added_is_read(tmp_path: Path) -> None:
    schema = SCHEMA.append(pa.field("propensities", pa.list_(pa.float32())))
    pq.write_table(rows(["a"]), tmp_path / "before.parquet")
    pq.write_table(
        rows(["b"]).append_column(schema[3], pa.array([[0.5]], schema[3].type)), tmp_path / "since.parquet"
    )
    log = read_log(tmp_path, schema, key="key", limit=10, seed=0, period=Period(), refuse=lambda table: {})
    assert {row["key"]: row["propensities"] for row in log.table.to_pylist()} == {"a": None, "b": [0.5]}
    assert (log.rows, log.skipped, log.notes) == (2, {}, ())


def test_other_units_and_encodings_of_the_same_type(tmp_path: Path) -> None:
    table = rows(["a"])
    table = table.set_column(1, "timestamp", table["timestamp"].cast(pa.timestamp("ns", tz="UTC")))
    pq.write_table(table.set_column(0, "key", table["key"].dictionary_encode()), tmp_path / "1.parquet")
    assert read(tmp_path).table.equals(rows(["a"]))


def test_null_in_a_required_column_is_malformed(tmp_path: Path) -> None:
    loose = pa.schema([field.with_nullable(True) for field in SCHEMA])
    pq.write_table(
        pa.table({"key": ["a", None], "timestamp": [START, START], "value": [None, 1.0]}, schema=loose),
        tmp_path / "1.parquet",
    )
    log = read(tmp_path)
    assert (log.table["key"].to_pylist(), log.skipped) == (["a"], {"malformed": 1})


def test_period_holds_its_start_and_not_its_end(tmp_path: Path) -> None:
    pq.write_table(rows(["0", "1", "2", "3"]), tmp_path / "1.parquet")
    period = Period(START + timedelta(minutes=1), START + timedelta(minutes=3))
    log = read(tmp_path, period=period)
    assert (sorted(log.table["key"].to_pylist()), log.skipped) == (["1", "2"], {"outside": 2})


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        (START, START, "is not before until"),
        (START, START - timedelta(1), "is not before until"),
        (START.replace(tzinfo=None), None, "has no time zone"),
    ],
)
def test_impossible_period(since: datetime | None, until: datetime | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Period(since, until)


def test_first_reason_is_the_one_counted(tmp_path: Path) -> None:
    pq.write_table(rows(["a", "b", "c"]), tmp_path / "1.parquet")
    flags = {"odd": np.array([True, True, False]), "late": np.array([True, False, False])}
    log = read(tmp_path, refuse=lambda table: flags)
    assert (log.rows, log.skipped) == (1, {"odd": 2})


@settings(max_examples=25, deadline=None)
@given(
    keys=st.lists(st.text("abc", min_size=1, max_size=3), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=3),
    limit=st.integers(1, 20),
)
def test_sample_is_bounded_and_blind_to_parts(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str], cuts: list[int], limit: int
) -> None:
    whole, cut = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("cut")
    pq.write_table(rows(keys), whole / "1.parquet")
    edges = sorted({0, len(keys), *(min(c, len(keys)) for c in cuts)})
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        pq.write_table(rows(keys[low:high]), cut / f"{i}.parquet")
    one, many = read(whole, limit=limit), read(cut, limit=limit)
    assert one.table["key"].to_pylist() == many.table["key"].to_pylist()
    assert len(one.table) == min(limit, len(set(keys)))
    assert one.rows + one.skipped.get("duplicate", 0) == len(keys)
    assert (one.rows, one.skipped) == (many.rows, many.skipped)


def test_sample_is_uniform_and_seeded(tmp_path: Path) -> None:
    pq.write_table(rows([str(i) for i in range(5000)]), tmp_path / "1.parquet")
    first, again, other = (read(tmp_path, limit=500, seed=s).table["key"].to_pylist() for s in (0, 0, 1))
    assert first == again
    assert first != other
    assert abs(np.mean([int(key) for key in first]) - 2500) < 4 * 5000 / np.sqrt(12 * 500)


def test_hash_does_not_change_between_machines() -> None:
    assert key_hash(pa.chunked_array([["a", None]]), seed=7).tolist() == [
        2751986012153308349,
        1874201255128393200,
    ]
