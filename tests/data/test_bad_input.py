"""Every bad input a user can hand in: one line, the file, the field, and nothing written."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from higr.config import DataConfig
from higr.data.conform import conform
from higr.data.schemas import EVENTS
from higr.errors import InputError

Tables = dict[str, pa.Table]


def put(tables: Tables, table: str, column: str, values: pa.Array) -> Tables:
    old = tables[table]
    return tables | {table: old.set_column(old.column_names.index(column), column, values)}


def drop(tables: Tables, table: str, column: str) -> Tables:
    return tables | {table: tables[table].drop_columns([column])}


def seconds(tables: Tables, factor: float) -> Tables:
    stamps = [int(t * factor) for t in tables["events"]["timestamp"].to_pylist()]
    return put(tables, "events", "timestamp", pa.array(stamps))


def all_values(tables: Tables, table: str, column: str, value: object) -> Tables:
    return put(tables, table, column, pa.array([value] * tables[table].num_rows))


WHOLE_FILE = [
    ("missing column", lambda t: drop(t, "events", "timestamp"), ("events.parquet", "timestamp", "240 rows")),
    ("missing item column", lambda t: drop(t, "items", "category"), ("items.parquet", "category", "12 rows")),
    ("missing user column", lambda t: drop(t, "users", "user_id"), ("users.parquet", "user_id", "6 rows")),
    ("float id", lambda t: all_values(t, "events", "user_id", 1.5), ("events.parquet", "user_id", "double")),
    (
        "text watch",
        lambda t: all_values(t, "events", "watch_seconds", "7"),
        ("events.parquet", "watch_seconds", "string"),
    ),
    (
        "text moment",
        lambda t: all_values(t, "events", "timestamp", "2026"),
        ("events.parquet", "timestamp", "string"),
    ),
    ("text flag", lambda t: all_values(t, "events", "liked", "yes"), ("events.parquet", "liked", "string")),
    (
        "position too large",
        lambda t: all_values(t, "events", "position", 70_000),
        ("events.parquet", "position", "int16"),
    ),
    (
        "moments beyond int64",
        lambda t: put(t, "events", "timestamp", pa.array([2**63 + 1] * 240, pa.uint64())),
        ("events.parquet", "timestamp", "uint64", "9223372036854775809"),
    ),
    (
        "position beyond int64",
        lambda t: put(t, "events", "position", pa.array([2**63 + 1] * 240, pa.uint64())),
        ("events.parquet", "position", "int16"),
    ),
    (
        "seconds",
        lambda t: seconds(t, 1e-3),
        ("events.parquet", "timestamp", "seconds", "multiply by 1000", "240 rows"),
    ),
    (
        "microseconds",
        lambda t: seconds(t, 1e3),
        ("events.parquet", "timestamp", "microseconds", "divide by 1000"),
    ),
    (
        "seconds read as milliseconds",
        lambda t: put(t, "events", "timestamp", pa.array([datetime(1970, 1, 21)] * 240, pa.timestamp("ns"))),
        ("events.parquet", "timestamp", "seconds"),
    ),
    ("no events", lambda t: t | {"events": t["events"].slice(0, 0)}, ("events.parquet", "0 rows")),
    ("no items", lambda t: t | {"items": t["items"].slice(0, 0)}, ("items.parquet", "0 rows")),
    ("no users", lambda t: t | {"users": t["users"].slice(0, 0)}, ("users.parquet", "0 rows")),
    (
        "duplicate item",
        lambda t: all_values(t, "items", "item_id", "i00"),
        ("items.parquet", "item_id", "duplicate", "'i00'", "12 rows"),
    ),
    (
        "unknown items",
        lambda t: all_values(t, "events", "item_id", "ghost"),
        ("events.parquet", "item_id is not in items: 240", "240 of 240"),
    ),
    (
        "no signal",
        lambda t: drop(t, "events", "watch_seconds"),
        ("events", "watch_seconds", "240 rows", "effective_view"),
    ),
]


@pytest.mark.parametrize(
    ("change", "said"), [case[1:] for case in WHOLE_FILE], ids=[case[0] for case in WHOLE_FILE]
)
def test_whole_file(
    change: Callable[[Tables], Tables],
    said: tuple[str, ...],
    good: Tables,
    write: Callable[..., DataConfig],
    stage: Callable,
    tmp_path: Path,
) -> None:
    config = write(change(good))
    with pytest.raises(InputError) as caught:
        stage(config)
    message = str(caught.value)
    assert "\n" not in message
    assert not [word for word in said if word not in message], message
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "events.parquet",
        "items.parquet",
        "users.parquet",
    ]


def test_a_type_arrow_cannot_convert(good: Tables) -> None:
    """In memory alone: Parquet does not keep it."""
    views = pa.array(["i00"], pa.string_view())
    ids = pa.DictionaryArray.from_arrays(pa.array([0] * 240), views)
    odd = put(good, "events", "item_id", ids)
    with pytest.raises(InputError, match=r"^a file: column item_id .*does not fit string: .*; convert it$"):
        conform(odd["events"], EVENTS, "a file")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("events.parquet", None, "does not exist"),
        ("items.parquet", None, "does not exist"),
        ("events.parquet", b"", "empty (0 bytes)"),
        ("items.parquet", "half", "not readable Parquet"),
        ("users.parquet", "half", "not readable Parquet"),
        ("events.parquet", b"user_id,item_id\n1,2\n", "not readable Parquet"),
    ],
)
def test_unreadable_file(
    name: str,
    content: bytes | str | None,
    said: str,
    good: Tables,
    write: Callable[..., DataConfig],
    stage: Callable,
    tmp_path: Path,
) -> None:
    config = write(good)
    path = tmp_path / name
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    with pytest.raises(InputError) as caught:
        stage(config)
    message = str(caught.value)
    assert name in message
    assert said in message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()


def test_folder_that_does_not_exist(stage: Callable, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.path '.*nowhere' is not a folder"):
        stage(DataConfig(source="tables", path=str(tmp_path / "nowhere")))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"slates": "session"}, "data.session_gap_minutes"),
        ({"engagement": {"strong_flags": ("loved",)}}, "loved is no flag"),
        ({"engagement": {"effective_view": "rating"}}, "none of 240 rows has rating"),
        ({"test_start": datetime(2030, 1, 1)}, "a period holds no event"),
        ({"min_slate_size": 9}, "no slate of at least 9"),
    ],
)
def test_configuration_that_does_not_fit(
    fields: dict, said: str, good: Tables, write: Callable[..., DataConfig], stage: Callable, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        stage(write(good, **fields))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_optional_files_columns_and_types_may_differ(
    good: Tables, write: Callable[..., DataConfig], stage: Callable
) -> None:
    plain = stage(write(good))
    ids = [int(user[1:]) for user in good["events"]["user_id"].to_pylist()]
    odd = put(good, "events", "user_id", pa.array(ids))  # integers are ids too
    stamps = good["events"]["timestamp"].cast(pa.timestamp("ms")).cast(pa.timestamp("ns")).combine_chunks()
    odd = put(odd, "events", "timestamp", stamps)
    odd = put(odd, "events", "item_id", good["events"]["item_id"].combine_chunks().dictionary_encode())
    odd = put(odd, "events", "liked", good["events"]["liked"].combine_chunks().cast(pa.int8()))
    odd = odd | {
        "users": pa.table(
            {"user_id": [0, 1], "age": pa.array(["20", "21"]).dictionary_encode(), "score": [0.5, 1.5]}
        )
    }
    data = stage(write(odd))
    assert data.events.drop_columns(["user_id"]).equals(plain.events.drop_columns(["user_id"]))
    assert data.users.to_pydict() == {"user_id": list("012345"), "age": ["20", "21", None, None, None, None]}
    assert data.report["rows"]["users"] == {
        "in": 2,
        "kept": 2,
        "quarantined": 0,
        "reasons": {},
        "added": 4,
        "dropped_columns": ["score"],
    }
