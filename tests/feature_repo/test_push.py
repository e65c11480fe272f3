"""What is newer than the prepared log: pushed online and found again offline."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from feature_repo.__main__ import app
from feature_repo.build import log_end
from feature_repo.push import opened, push, set_status
from feature_repo.store import materialise
from higr.config import load_config
from higr.data.logs import FEEDBACK
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.errors import InputError
from tests.redis_server import RedisServer

CONFIG = load_config("nano", {"data.simulator.users": 20, "data.history_exposed": 12}).data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("data")
    made = prepare(CONFIG, 0)
    made.save(folder)
    return folder, made


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, data: tuple[Path, PreparedData], tmp_path: Path) -> Iterator[Path]:
    if request.param == "sqlite":
        materialise(data[0], tmp_path / "store", CONFIG)
        yield tmp_path / "store"
        return
    with RedisServer(tmp_path / "redis") as redis:
        materialise(data[0], tmp_path / "store", CONFIG, redis.url)
        yield tmp_path / "store"


def event(moment: datetime, item: str, user: str, **fields: Any) -> dict[str, Any]:
    key = f"{user}-{item}-{moment}"
    return {"event_id": key, "user_id": user, "item_id": item, "timestamp": moment, **fields}


def feedback(*events: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(events), FEEDBACK)


def context(store: Path, user: str) -> list[tuple[str, int]]:
    found = (
        opened(store)
        .get_online_features(
            features=["user_context:context_item_ids", "user_context:context_feedback"],
            entity_rows=[{"user_id": user}],
        )
        .to_dict()
    )
    return list(zip(found["context_item_ids"][0], found["context_feedback"][0], strict=True))


def test_events_come_behind_the_history_in_time_order(store: Path, data: tuple[Path, PreparedData]) -> None:
    prepared = data[1]
    user, (first, second) = prepared.users["user_id"][0].as_py(), prepared.items["item_id"].to_pylist()[:2]
    end = log_end(prepared).as_py()
    before = context(store, user)
    late = event(end + timedelta(seconds=1), first, user, watch_seconds=1e6, liked=True)
    early = event(end + timedelta(milliseconds=500), second, user)
    assert push(store, feedback(late), prepared.items, CONFIG) == 1
    assert push(store, feedback(early), prepared.items, CONFIG) == 1
    assert context(store, user)[-3:] == [before[-1], (second, 1), (first, 3)]
    assert len(context(store, user)) <= CONFIG.history_engaged + CONFIG.history_exposed
    assert push(store, feedback(late, early), prepared.items, CONFIG) == 2
    assert context(store, user)[-3:] == [before[-1], (second, 1), (first, 3)], "again: nothing changes"


def test_an_event_before_the_end_of_the_log_is_not_lost(store: Path, data: tuple[Path, PreparedData]) -> None:
    """Redis keeps the row with the newer moment: a push must have one, however old its events."""
    prepared = data[1]
    user = prepared.users["user_id"][0].as_py()
    old = context(store, user)
    moment = next(
        row["timestamp"]
        for row in reversed(prepared.events.select(["user_id", "timestamp"]).to_pylist())
        if row["user_id"] == user
    ) - timedelta(milliseconds=1)
    item = next(item for item in prepared.items["item_id"].to_pylist() if item not in dict(old))
    push(store, feedback(event(moment, item, user)), prepared.items, CONFIG)
    assert (item, 1) in context(store, user)[-3:-1]


def test_a_new_user_is_known_at_once(store: Path, data: tuple[Path, PreparedData]) -> None:
    item = data[1].items["item_id"][0].as_py()
    push(store, feedback(event(log_end(data[1]).as_py(), item, "new")), data[1].items, CONFIG)
    assert context(store, "new") == [(item, 1)]


def test_what_preparation_would_put_aside_is_passed_over(
    store: Path, data: tuple[Path, PreparedData]
) -> None:
    end = log_end(data[1]).as_py()
    assert push(store, feedback(event(end, "nothing-like-it", "new")), data[1].items, CONFIG) == 0
    assert push(store, FEEDBACK.empty_table(), data[1].items, CONFIG) == 0


def test_the_past_knows_what_was_pushed_and_nothing_before_it(
    store: Path, data: tuple[Path, PreparedData]
) -> None:
    prepared = data[1]
    user, item = prepared.users["user_id"][0].as_py(), prepared.items["item_id"][0].as_py()
    moment = log_end(prepared).as_py() + timedelta(days=1)
    push(store, feedback(event(moment, item, user, watch_seconds=1e6)), prepared.items, CONFIG)
    moments = pa.table(
        {
            "user_id": [user, user],
            "event_timestamp": pa.array([moment, moment + timedelta(seconds=1)], pa.timestamp("ms", "UTC")),
        }
    )
    rows = (
        opened(store)
        .get_historical_features(entity_df=moments.to_pandas(), features=["user_context:context_times"])
        .to_df()
        .sort_values("event_timestamp")
    )
    known = [round(moment.timestamp() * 1000) in times for times in rows["context_times"]]
    assert known == [False, True]


def log(folder: Path, *events: dict[str, Any]) -> Path:
    folder.mkdir()
    for number, row in enumerate(events):
        pq.write_table(feedback(row), folder / f"part-x-{number:09d}.parquet")
    return folder


def test_the_commands_read_the_log_of_a_server(tmp_path: Path, data: tuple[Path, PreparedData]) -> None:
    prepared = data[1]
    end, item = log_end(prepared).as_py(), prepared.items["item_id"][0].as_py()
    folder = log(
        tmp_path / "feedback",
        event(end - timedelta(days=1), item, "old"),
        event(end, item, "new"),
    )
    where = ["--data", str(data[0]), "--store", str(tmp_path / "store"), "--config", "nano", "--json"]
    made = CliRunner().invoke(app, ["materialise", *where, "--feedback", str(folder)])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["pushed"] == 1, "what the prepared log covers is not pushed"
    assert context(tmp_path / "store", "new") == [(item, 1)]
    again = CliRunner().invoke(app, ["push", *where, "--feedback", str(folder)])
    assert json.loads(again.stdout)["pushed"] == 1
    assert context(tmp_path / "store", "new") == [(item, 1)]


@pytest.mark.parametrize("command", ["push", "materialise"])
def test_a_log_that_is_not_there_is_one_line(
    tmp_path: Path, data: tuple[Path, PreparedData], command: str
) -> None:
    where = ["--data", str(data[0]), "--store", str(tmp_path / "store"), "--config", "nano"]
    ended = CliRunner().invoke(app, [command, *where, "--feedback", str(tmp_path / "no")])
    assert (ended.exit_code, ended.stderr.count("\n")) == (2, 1)
    assert "no is no folder" in ended.stderr
    folder = log(tmp_path / "feedback")
    ended = CliRunner().invoke(app, ["push", *where, "--feedback", str(folder)])
    assert ended.exit_code == 2
    assert "is no feature store; run `python -m feature_repo materialise`" in ended.stderr


def status(store: Path, *items: str) -> list[str]:
    rows = [{"item_id": item} for item in items]
    found = opened(store).get_online_features(features=["item_status:status"], entity_rows=rows)
    return list(found.to_dict()["status"])


def test_an_item_is_disabled_and_active_again(store: Path, data: tuple[Path, PreparedData]) -> None:
    one, other = data[1].items["item_id"].to_pylist()[:2]
    arguments = ["set-status", "--store", str(store), "--status"]
    assert CliRunner().invoke(app, [*arguments, "disabled", one]).exit_code == 0
    assert status(store, one, other) == ["disabled", "active"]
    assert CliRunner().invoke(app, [*arguments, "active", one, one]).exit_code == 0
    assert status(store, one, other) == ["active", "active"]
    wrong = CliRunner().invoke(app, [*arguments, "disabled", one, "no-item"])
    assert (wrong.exit_code, "item 'no-item' is not in" in wrong.stderr) == (2, True)
    assert status(store, one) == ["active"]
    assert CliRunner().invoke(app, [*arguments, "retired", one]).exit_code == 2


def test_no_store_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no feature store"):
        set_status(tmp_path, ["v"], "disabled")
