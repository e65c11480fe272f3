"""Source `logs`: joins worked out by hand, and no row of either log lost."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from higr.config import DataConfig, LogSourceConfig
from higr.data.logs import ADDED, FEEDBACK, PREDICTIONS, is_sampled
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.data.served import load
from higr.data.validate import validate
from higr.errors import InputError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ITEMS = [f"i{n}" for n in range(6)]
FLAGS = ("clicked", "long_view", "liked", "followed", "commented", "shared", "disliked")


def slate(request: Any, items: Any = ("i0", "i1"), *, minute: float = 0, **fields: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(PREDICTIONS.names),
        "request_id": request,
        "timestamp": NOON + timedelta(minutes=minute),
        "user_id": "u",
        "source": "higr",
        "model_version": "v",
        "item_ids": items,
        "scores": [],
        "semantic_ids": [],
        "history_length": 0,
        "degraded": False,
        "latency_ms": 1.0,
        **fields,
    }


def event(number: Any, request: Any, item: Any, *, minute: float = 1, **fields: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(FEEDBACK.names),
        "event_id": number if number is None else f"e{number}",
        "request_id": request,
        "user_id": "u",
        "item_id": item,
        "timestamp": NOON + timedelta(minutes=minute),
        **fields,
    }


Rows = list[dict[str, Any]]
Write = Callable[..., DataConfig]


def write_part(folder: Path, name: str, rows: Rows, schema: pa.Schema) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    pq.write_table(pa.Table.from_pylist(rows, nullable), folder / f"part-{name}.parquet")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes logs, two rows a part, and items; gives the configuration that reads them."""

    def to_folder(slates: Rows, events: Rows, **fields: Any) -> DataConfig:
        for name, rows, schema in (("predictions", slates, PREDICTIONS), ("feedback", events, FEEDBACK)):
            for start in range(0, len(rows), 2):
                write_part(tmp_path / name, f"{start:03d}", rows[start : start + 2], schema)
        items = [{"item_id": item, "category": "c", "duration_seconds": 10.0} for item in ITEMS]
        pq.write_table(pa.Table.from_pylist(items), tmp_path / "items.parquet")
        return DataConfig(source="logs", path=str(tmp_path), **{"max_bad_share": 1.0} | fields)

    return to_folder


def rows(config: DataConfig, *columns: str) -> list[tuple[Any, ...]]:
    return list(zip(*(load(config, 0).events[name].to_pylist() for name in columns), strict=True))


def test_every_served_item_is_an_exposure_with_the_feedback_that_names_it(write: Write) -> None:
    config = write(
        [slate("r1", ["i2", "i0", "i1"], surface="home"), slate("r2", ["i0"], minute=5, user_id="v")],
        [
            event(1, "r1", "i0", position=7, watch_seconds=4.0, clicked=True, surface="other"),
            event(2, "r2", "i0", user_id="v", minute=900, surface="late"),
        ],
    )
    columns = ("request_id", "user_id", "item_id", "position", "watch_seconds", "clicked", "surface")
    assert rows(config, *columns) == [
        ("r1", "u", "i2", 1, None, None, "home"),
        ("r1", "u", "i0", 2, 4.0, True, "home"),
        ("r1", "u", "i1", 3, None, None, "home"),
        ("r2", "v", "i0", 1, None, None, "late"),
    ]
    assert [t for (t,) in rows(config, "timestamp")] == [NOON] * 3 + [NOON + timedelta(minutes=5)]
    counts = load(config, 0).counts
    assert counts["predictions"]["exposures"] == 4
    assert counts["predictions"]["exposures_without_feedback"] == 2


def test_of_several_events_on_an_item_the_latest_signals_count_and_the_longest_watch(write: Write) -> None:
    config = write(
        [slate("r", ["i0"])],
        [
            event(3, "r", "i0", minute=3, liked=False, watch_seconds=1.0),
            event(1, "r", "i0", minute=1, liked=True, clicked=True, watch_seconds=9.0, rating=2.0),
            event(2, "r", "i0", minute=2, rating=4.0),
            event(4, "r", "i0", minute=2, rating=5.0),  # at the same moment: by event_id
        ],
    )
    columns = ("liked", "clicked", "watch_seconds", "rating", "shared")
    assert rows(config, *columns) == [(False, True, 9.0, 5.0, None)]


def test_what_was_delivered_twice_is_there_once(write: Write, tmp_path: Path) -> None:
    config = write(
        [slate("r"), slate("r"), slate("r", ["i5", "i4"], minute=1)],
        [event(1, "r", "i0", rating=1.0), event(1, "r", "i0", rating=3.0, minute=2)],
    )
    write_part(tmp_path / "feedback" / "replica-2", "x", [event(1, "r", "i0", rating=1.0)], FEEDBACK)
    assert rows(config, "item_id", "rating") == [("i0", 1.0), ("i1", None)]
    raw = load(config, 0)
    assert (raw.counts["predictions"]["in"], raw.counts["predictions"]["repeats"]) == (3, 2)
    assert (raw.counts["feedback"]["in"], raw.counts["feedback"]["repeats"]) == (3, 2)
    assert raw.quarantine is not None
    assert len(raw.quarantine) == 0


def test_of_many_of_one_moment_the_first_counts_and_rows_without_an_id_are_no_repeats(write: Write) -> None:
    config = write(
        [slate("r", ["i0"]), slate(None), slate(None)],
        [event(1, "r", "i0", rating=float(n)) for n in range(100)] + [event(None, "r", "i0")] * 2,
    )
    assert rows(config, "rating") == [(0.0,)]
    counts = load(config, 0).counts
    assert [counts[name]["repeats"] for name in ("predictions", "feedback")] == [0, 99]
    assert [counts[name]["quarantined"] for name in ("predictions", "feedback")] == [2, 2]


def test_one_user_may_be_shown_an_item_twice_at_one_moment(write: Write) -> None:
    config = write([slate("r1"), slate("r2")], [event(1, "r2", "i1", clicked=True)])
    checked = validate(load(config, 0), 0.0)
    assert checked.events.num_rows == 4


FAULTS = {
    "request_id is null or empty": event(7, None, "i0"),
    "request_id is not in the prediction log": event(7, "gone", "i0"),
    "user_id is not the one of the request": event(7, "r", "i0", user_id="w"),
    "item_id is not in the slate of the request": event(7, "r", "i3"),
    "event_id is null or empty": event(None, "r", "i0"),
    "timestamp is null": event(7, "r", "i0", timestamp=None),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_feedback_that_belongs_to_no_slate_is_put_aside_with_its_reason(write: Write, reason: str) -> None:
    config = write([slate("r")], [event(1, "r", "i1", rating=1.0), FAULTS[reason]])
    raw = load(config, 0)
    assert raw.counts["feedback"] == {
        "in": 2,
        "repeats": 0,
        "not_sampled": 0,
        "kept": 1,
        "quarantined": 1,
        "reasons": {reason: 1},
    }
    assert raw.quarantine is not None
    (bad,) = raw.quarantine.to_pylist()
    assert (bad["table"], bad["reason"]) == ("feedback", reason)
    assert json.loads(bad["record"])["item_id"] == FAULTS[reason]["item_id"]
    assert [rating for (rating,) in rows(config, "rating")] == [None, 1.0]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (slate(None), "request_id is null or empty"),
        (slate("x", user_id=""), "user_id is null or empty"),
        (slate("x", timestamp=None), "timestamp is null"),
        (slate("x", None), "item_ids is null"),
    ],
)
def test_a_slate_that_cannot_be_used_is_put_aside(write: Write, bad: dict[str, Any], reason: str) -> None:
    raw = load(write([slate("r"), bad], [event(1, "r", "i0")]), 0)
    assert raw.counts["predictions"]["reasons"] == {reason: 1}
    assert len(raw.events) == 2


def test_odd_items_of_a_slate_are_put_aside_one_by_one(write: Write) -> None:
    config = write([slate("r", ["i0", None, "i1", "i0", "nowhere", "i2"])], [event(1, "r", "i2")])
    checked = validate(load(config, 0), 1.0)
    assert checked.events["item_id"].to_pylist() == ["i0", "i1", "i2"]
    assert checked.events["position"].to_pylist() == [1, 3, 6]
    assert checked.counts["events"]["reasons"] == {
        "item_id is null or empty": 1,
        "item_id is not in items": 1,
        "same request_id, item_id as an earlier row": 1,
    }


def test_too_much_that_cannot_be_joined_stops_the_stage(write: Write) -> None:
    config = write([slate("r")], [event(1, "r", "i0"), event(2, "gone", "i0")], max_bad_share=0.4)
    with pytest.raises(
        InputError, match=r"feedback: 1 of 2 rows cannot be used \(request_id is not in the pred"
    ):
        load(config, 0)


def test_feedback_on_requests_that_were_not_sampled_is_left_out_and_no_fault(write: Write) -> None:
    ids = [f"r{n}" for n in range(40)]
    logged = [slate(name, sample_share=0.25) for name in ids if is_sampled(name, 0.25)]
    lost = next(name for name in ids if is_sampled(name, 0.25))
    logged = [row for row in logged if row["request_id"] != lost]
    config = write(logged, [event(n, name, "i0", rating=1.0) for n, name in enumerate(ids)])
    raw = load(config, 0)
    assert raw.counts["feedback"]["not_sampled"] == sum(not is_sampled(name, 0.25) for name in ids)
    assert raw.counts["feedback"]["reasons"] == {"request_id is not in the prediction log": 1}
    assert raw.counts["feedback"]["kept"] == len(logged)


def test_slates_whose_feedback_may_still_come_are_left_out(write: Write) -> None:
    config = write(
        [slate("old"), slate("new", minute=50)],
        [event(1, "old", "i0", minute=60), event(2, "new", "i0", minute=55)],
        logs={"settle_minutes": 10.5},
    )
    raw = load(config, 0)
    assert set(raw.events["request_id"].to_pylist()) == {"old"}
    assert raw.counts["predictions"]["unsettled"] == 1
    assert raw.counts["feedback"]["quarantined"] == 0


def test_parts_of_an_earlier_version_and_parts_being_written(write: Write, tmp_path: Path) -> None:
    config = write([slate("r1", surface="home")], [event(1, "r1", "i0")])
    old = pa.schema([field for field in PREDICTIONS if field.name not in ADDED])
    write_part(tmp_path / "predictions", "old", [{n: slate("r2")[n] for n in old.names}], old)
    (tmp_path / "predictions" / ".part-new.parquet.x.parquet").write_text("half")
    (tmp_path / "feedback" / "journal.sqlite").write_text("")
    assert Counter(rows(config, "request_id", "surface")) == {("r1", "home"): 2, ("r2", None): 2}


def test_items_of_a_bundle_users_and_absolute_folders(write: Write, tmp_path: Path) -> None:
    config = write([slate("r1")], [event(1, "r1", "i0")])
    (tmp_path / "bundle").mkdir()
    (tmp_path / "items.parquet").rename(tmp_path / "bundle" / "items.parquet")
    (tmp_path / "predictions").rename(tmp_path / "elsewhere")
    users = pa.table({"user_id": ["u"], "age": ["18-24"]})
    pq.write_table(users, tmp_path / "people.parquet")
    where = {"predictions": [str(tmp_path / "elsewhere")], "items": "bundle", "users": "people.parquet"}
    config = DataConfig(source="logs", path=str(tmp_path), logs=where)
    checked = validate(load(config, 0), 0.0)
    assert checked.users.to_pylist() == [{"user_id": "u", "age": "18-24"}]
    assert checked.items.num_rows == 6


def gone(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda base: gone(base / "predictions"), r"predictions is not a folder; give the one that serving"),
        (
            lambda base: [p.unlink() for p in (base / "feedback").iterdir()],
            r"feedback holds no part of a log",
        ),
        (
            lambda base: (base / "feedback" / "part-000.parquet").write_text("x"),
            r"part-000\.parquet is not reada",
        ),
        (lambda base: (base / "feedback" / "part-000.parquet").write_text(""), r"part-000\.parquet is empty"),
        (lambda base: (base / "items.parquet").unlink(), r"items\.parquet does not exist"),
        (
            lambda base: pq.write_table(
                pa.table({"request_id": ["r"]}), base / "predictions" / "part-x.parquet"
            ),
            r"part-x\.parquet has no column timestamp, user_id, item_ids",
        ),
        (
            lambda base: pq.write_table(
                pa.table({n: ["r"] for n in FEEDBACK.names}), base / "feedback" / "part-x.parquet"
            ),
            r"part-x\.parquet: column timestamp is string in 1 rows and does not fit",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(
    write: Write, tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    config = write([slate("r")], [event(1, "r", "i0")])
    spoil(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        load(config, 0)
    assert "\n" not in str(error.value)


def test_the_page_shows_a_configuration_that_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    text = page.split("## `logs`")[1].split("```yaml\n")[1].split("```")[0]
    section = DataConfig.model_validate(yaml.safe_load(text)["data"])
    assert section.source == "logs"
    assert section.logs == LogSourceConfig(items="bundle", settle_minutes=60)


REQUESTS = st.sampled_from(["r0", "r1", "r2", None, ""])
SLATES = st.builds(
    slate,
    REQUESTS,
    st.none() | st.lists(st.sampled_from([*ITEMS, "nowhere", None]), max_size=5),
    minute=st.integers(0, 3),
    user_id=st.sampled_from(["u", "v", None]),
    sample_share=st.sampled_from([None, 0.5]),
)
EVENTS = st.builds(
    event,
    st.integers(0, 5) | st.none(),
    REQUESTS,
    st.sampled_from([*ITEMS, None]),
    minute=st.integers(0, 3),
    user_id=st.sampled_from(["u", "v"]),
    liked=st.sampled_from([None, True, False]),
    watch_seconds=st.sampled_from([None, 1.0, 2.0]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SLATES, max_size=6), st.lists(EVENTS, max_size=8))
def test_no_row_is_lost_and_every_exposure_is_of_a_slate(
    tmp_path_factory: pytest.TempPathFactory, slates: Rows, events: Rows
) -> None:
    base = tmp_path_factory.mktemp("logs")
    slates, events = [slate("sound"), *slates], [event(99, "sound", "i0"), *events]
    write_part(base / "predictions", "0", slates, PREDICTIONS)
    write_part(base / "feedback", "0", events, FEEDBACK)
    pq.write_table(pa.table({"item_id": ITEMS, "category": ["c"] * 6}), base / "items.parquet")
    raw = load(DataConfig(source="logs", path=str(base), max_bad_share=1.0), 0)
    for name, given_rows in (("predictions", slates), ("feedback", events)):
        counts = raw.counts[name]
        elsewhere = counts["repeats"] + counts.get("not_sampled", 0)
        assert counts["in"] == len(given_rows) == counts["kept"] + counts["quarantined"] + elsewhere
    assert raw.quarantine is not None
    assert len(raw.quarantine) == sum(counts["quarantined"] for counts in raw.counts.values())
    served = {(row["request_id"], row["user_id"], tuple(row["item_ids"] or ())) for row in slates}
    for request, user, item in zip(
        *(raw.events[name].to_pylist() for name in ("request_id", "user_id", "item_id")), strict=True
    ):
        assert any(r == request and u == user and item in items for r, u, items in served)


def test_served_slates_are_the_slates_of_training_whatever_order_the_parts_have(
    write: Write, tmp_path: Path
) -> None:
    served = {
        f"r{n}": [ITEMS[(n + k) % 6] for k in (4, 0, 2, 1, 3)] for n in range(60)
    }  # in an order that is none of time or id
    config = write(
        [slate(name, items, minute=n, user_id=f"u{n % 4}") for n, (name, items) in enumerate(served.items())],
        [
            event(n, name, items[-1], minute=n + 1, user_id=f"u{n % 4}", watch_seconds=9.0)
            for n, (name, items) in enumerate(served.items())
        ],
        max_bad_share=0.0,
    )
    data = prepare(config, 0)
    assert {row["slate_id"].split("/")[2][1:]: row["item_ids"] for row in data.slates.to_pylist()} == served
    assert {tuple(row["feedback"]) for row in data.slates.to_pylist()} == {(1, 1, 1, 1, 2)}
    assert data.report["rows"]["feedback"]["kept"] == 60
    data.save(tmp_path / "out")
    again = PreparedData.load(tmp_path / "out")
    for part in (tmp_path / "predictions").iterdir():  # other names, so another order
        part.rename(part.with_name(f"part-{999 - int(part.stem[-3:])}.parquet"))
    assert prepare(config, 0).report["fingerprint"] == again.report["fingerprint"]
