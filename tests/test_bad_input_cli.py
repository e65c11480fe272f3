"""Run: pytest tests/test_bad_input_cli.py

Every bad data input as its user meets it: the real command line, one line, exit code 2, nothing left.
"""

import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from higr.cli import main

USERS, ITEMS, REQUESTS, SLATE = 6, 12, 8, 5
EVENTS = USERS * REQUESTS * SLATE
START = datetime(2026, 3, 1, tzinfo=UTC)
Rows = dict[str, list[dict[str, Any]]]


def sound() -> Rows:
    """events (240), items (12) and users (6) that pass."""
    events = [
        {
            "user_id": f"u{user}",
            "item_id": f"i{(user + request + position) % ITEMS:02d}",
            "timestamp": int(
                (START + timedelta(hours=request, minutes=user, seconds=position)).timestamp() * 1000
            ),
            "request_id": f"r{request}-{user}",
            "position": position,
            "watch_seconds": float(4 * position),
            "duration_seconds": 20.0,
        }
        for request in range(REQUESTS)
        for user in range(USERS)
        for position in range(SLATE)
    ]
    items = [{"item_id": f"i{i:02d}", "category": f"c{i % 3}", "text": f"item {i}"} for i in range(ITEMS)]
    return {"events": events, "items": items, "users": [{"user_id": f"u{u}"} for u in range(USERS)]}


def write(folder: Path, rows: Rows) -> None:
    folder.mkdir()
    for name, table in rows.items():
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")


def succeed(call: Callable[[], None]) -> None:
    with pytest.raises(SystemExit) as stop:
        call()
    assert stop.value.code == 0


def each(rows: Rows, table: str, count: int | None, **values: Any) -> None:
    """Set values in the first `count` rows (None: in all)."""
    for row in rows[table][:count]:
        row.update(values)


def drop(rows: Rows, table: str, column: str) -> None:
    for row in rows[table]:
        del row[column]


def in_seconds(rows: Rows) -> None:
    for row in rows["events"]:
        row["timestamp"] //= 1000


def far_moments(rows: Rows) -> None:
    each(rows, "events", 13, timestamp=10**17)


ROWS: list[tuple[str, Callable[[Rows], object], tuple[str, ...]]] = [
    ("missing column", lambda r: drop(r, "events", "timestamp"), ("events.parquet", "timestamp", "missing")),
    ("missing item column", lambda r: drop(r, "items", "category"), ("items.parquet", "category", "missing")),
    (
        "missing user column",
        lambda r: [row.update(id=row.pop("user_id")) for row in r["users"]],
        ("users.parquet", "user_id", "missing"),
    ),
    (
        "wrong type",
        lambda r: each(r, "events", None, watch_seconds="long"),
        ("events.parquet", "watch_seconds", "string", "float"),
    ),
    ("wrong id type", lambda r: each(r, "items", None, item_id=1.5), ("items.parquet", "item_id", "double")),
    (
        "NaN durations",
        lambda r: each(r, "events", 13, duration_seconds=math.nan),
        ("events.parquet", "13 of 240", "duration_seconds is NaN", "data.max_bad_share"),
    ),
    (
        "negative watch",
        lambda r: each(r, "events", 13, watch_seconds=-1.0),
        ("events.parquet", "13 of 240", "watch_seconds", "negative", "data.max_bad_share"),
    ),
    (
        "duplicate item",
        lambda r: r["items"].append(dict(r["items"][3])),
        ("items.parquet", "item_id", "duplicate", "'i03'"),
    ),
    (
        "unknown items",
        lambda r: each(r, "events", 13, item_id="ghost"),
        ("events.parquet", "13 of 240", "item_id is not in items", "data.max_bad_share"),
    ),
    ("seconds", in_seconds, ("events.parquet", "timestamp", "seconds", "multiply by 1000")),
    ("far moments", far_moments, ("events.parquet", "13 of 240", "timestamp is out of range")),
]


def half(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


FILES: list[tuple[str, str, Callable[[Path], object], str]] = [
    (f"{what} {name}", f"{name}.parquet", spoil, said)
    for name in ("events", "items", "users")
    for what, spoil, said in (
        ("empty", lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
        ("truncated", half, "is not readable Parquet"),
        ("missing", Path.unlink, "does not exist"),
        ("rowless", lambda path: pq.write_table(pq.read_table(path).slice(0, 0), path), "0 rows"),
    )
    if (name, what) != ("users", "missing")  # users.parquet is optional
]


@pytest.fixture
def higr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The command line on the tables in tmp_path/"logs", its run in tmp_path/"run"."""
    monkeypatch.chdir(tmp_path)

    def call(stage: str, *settings: str, options: tuple[str, ...] = ()) -> None:
        chosen = ("data.source=tables", f"data.path={tmp_path / 'logs'}", *settings)
        flags = [part for setting in chosen for part in ("--set", setting)]
        arguments = ["higr", stage, "-c", "nano", "-o", str(tmp_path / "run"), *flags, *options]
        monkeypatch.setattr(sys, "argv", arguments)
        main()

    return call


def complaint(call: Callable[[], None], capsys: pytest.CaptureFixture) -> str:
    """The one line a refused command leaves."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        call()
    assert stop.value.code == 2
    out, error = capsys.readouterr()
    assert out == ""
    lines = error.strip().splitlines()
    assert len(lines) == 1, error
    assert lines[0].startswith("higr: ")
    return lines[0]


def nothing_written(tmp_path: Path) -> bool:
    run = tmp_path / "run"
    return [path.name for path in tmp_path.iterdir() if path != run] == ["logs"] and (
        not run.exists() or not list(run.iterdir())
    )


@pytest.mark.parametrize(("spoil", "said"), [case[1:] for case in ROWS], ids=[case[0] for case in ROWS])
def test_bad_tables(
    spoil: Callable[[Rows], object],
    said: tuple[str, ...],
    higr: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    rows = sound()
    spoil(rows)
    write(tmp_path / "logs", rows)
    line = complaint(lambda: higr("data"), capsys)
    assert not [word for word in said if word not in line], line
    assert nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("name", "spoil", "said"), [case[1:] for case in FILES], ids=[case[0] for case in FILES]
)
def test_bad_files(
    name: str,
    spoil: Callable[[Path], object],
    said: str,
    higr: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    write(tmp_path / "logs", sound())
    spoil(tmp_path / "logs" / name)
    line = complaint(lambda: higr("data"), capsys)
    assert name in line
    assert said in line
    assert nothing_written(tmp_path)


def test_more_items_than_semantic_ids(
    higr: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write(tmp_path / "logs", sound())
    succeed(lambda: higr("data"))
    settings = ("tokenizer.codebook_size=2", "tokenizer.depth=2", "tokenizer.level_weights=[1.0]")
    line = complaint(lambda: higr("tokenize", *settings), capsys)
    assert not [word for word in ("12 items", "4", "tokenizer.codebook_size", "depth") if word not in line], (
        line
    )
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["data"]


def test_a_user_with_one_event_is_counted(
    higr: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = sound()
    rows["events"].append(rows["events"][0] | {"user_id": "once", "request_id": "alone"})
    write(tmp_path / "logs", rows)
    succeed(lambda: higr("data", options=("--json",)))
    figures = json.loads(capsys.readouterr().out)
    assert (figures["events"], figures["users"]) == (EVENTS + 1, USERS + 1)
    report = json.loads((tmp_path / "run" / "data" / "report.json").read_text())
    assert report["users_with_one_event"] == 1


def test_a_tolerable_share_passes_and_is_counted(
    higr: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The same faults as above in 12 rows instead of 13: 5 % of 240."""
    rows = sound()
    for start, fault in (
        (0, {"duration_seconds": math.nan}),
        (40, {"watch_seconds": -1.0}),
        (80, {"item_id": "ghost"}),
        (120, {"timestamp": 10**17}),
    ):
        for row in rows["events"][start : start + 3]:
            row.update(fault)
    write(tmp_path / "logs", rows)
    succeed(lambda: higr("data", options=("--json",)))
    assert json.loads(capsys.readouterr().out)["quarantined"] == 12
