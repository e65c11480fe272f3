"""Training and serving see the same user: the store against `HistoryIndex`, point by point."""

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from feature_repo.__main__ import app
from feature_repo.build import (
    CONTEXT_ROWS,
    HELD_OUT,
    INTEREST_ROWS,
    PROFILE_ROWS,
    STATUS_ROWS,
    build,
    log_end,
)
from feature_repo.store import materialise
from higr.config import load_config
from higr.data.context import HistoryIndex
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.data.recent import EXPOSED_ITEMS
from higr.data.schemas import LABELLED_EVENTS
from higr.errors import InputError

SERVICES = ("user_context_v1", "user_context_v2")
CONFIG = load_config("nano", {"data.simulator.users": 40, "data.history_exposed": 12}).data


@pytest.fixture(scope="module")
def data() -> PreparedData:
    return prepare(CONFIG, 0)


@pytest.fixture(scope="module")
def index(data: PreparedData) -> HistoryIndex:
    return HistoryIndex.build(data.events, data.users, CONFIG)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, data: PreparedData) -> Path:
    folder = tmp_path_factory.mktemp("features")
    data.save(folder / "data")
    return folder


@pytest.fixture(scope="module")
def feast(folder: Path, data: PreparedData) -> Any:
    from feast import FeatureStore

    done = materialise(folder / "data", folder / "store", CONFIG)
    assert done.users == data.users.num_rows
    return FeatureStore(repo_path=str(folder / "store"))


def held_out(data: PreparedData) -> pa.Table:
    return data.slates.filter(pc.is_in(data.slates["split"], pa.array(HELD_OUT)))


@pytest.mark.parametrize("service", SERVICES)
def test_the_past_is_what_the_training_index_says_it_was(
    feast: Any, data: PreparedData, index: HistoryIndex, service: str
) -> None:
    slates = held_out(data)
    entities = (
        slates.select(["user_id", "history_cutoff"])
        .rename_columns(["user_id", "event_timestamp"])
        .to_pandas()
    )
    joined = feast.get_historical_features(
        entity_df=entities, features=feast.get_feature_service(service)
    ).to_df()
    assert len(joined) == slates.num_rows > 50
    for row in joined.to_dict("records"):
        context = index.context(row["user_id"], row["event_timestamp"].to_pydatetime())
        assert tuple(row["context_item_ids"]) == context.item_ids
        assert tuple(row["context_feedback"]) == context.feedback
        assert json.loads(row["profile_json"]) == context.profile


def test_no_row_knows_anything_at_or_after_its_moment(data: PreparedData) -> None:
    """Independent of the index: recounted from the events."""
    events = data.events.select(["user_id", "item_id", "timestamp", "position", "feedback"]).to_pylist()
    sources = build(data, CONFIG)
    rows = zip(sources.context.to_pylist(), sources.interests.to_pylist(), strict=True)
    items = data.items.select(["item_id", "category", "creator_id"]).to_pylist()
    for row, interests in list(rows)[::7]:
        before = [
            e for e in events if e["user_id"] == row["user_id"] and e["timestamp"] < row["event_timestamp"]
        ]
        assert set(row["context_item_ids"]) <= {e["item_id"] for e in before}
        recent = before[-12:]
        assert row["context_item_ids"][-12:] == [e["item_id"] for e in recent]
        assert row["context_positions"][-12:] == [e["position"] for e in recent]
        assert row["context_times"][-12:] == [round(e["timestamp"].timestamp() * 1000) for e in recent]
        last = {e["item_id"]: round(e["timestamp"].timestamp() * 1000) for e in before}
        assert dict(zip(row["exposed_item_ids"], row["exposed_times"], strict=True)) == dict(
            sorted(last.items(), key=lambda pair: (pair[1], pair[0]))[-EXPOSED_ITEMS:]
        )
        assert row["exposed_times"] == sorted(row["exposed_times"])
        for names, shares, column in (
            ("top_categories", "top_category_shares", "category"),
            ("top_creators", "top_creator_shares", "creator_id"),
        ):
            value = {item["item_id"]: item[column] for item in items}
            engaged = Counter(value[e["item_id"]] for e in before if e["feedback"] >= 2)
            expected = sorted(engaged.items(), key=lambda pair: (-pair[1], pair[0]))[:10]
            assert interests[names] == [name for name, _ in expected]
            assert interests[shares] == pytest.approx([n / engaged.total() for _, n in expected])


@pytest.mark.parametrize("service", SERVICES)
def test_online_is_the_final_context_of_every_user(
    feast: Any, data: PreparedData, index: HistoryIndex, service: str
) -> None:
    users = data.users["user_id"].to_pylist()
    online = feast.get_online_features(
        features=feast.get_feature_service(service),
        entity_rows=[{"user_id": user} for user in [*users, "new"]],
    ).to_dict()
    for row, user in enumerate(users):
        context = index.context(user)
        assert tuple(online["context_item_ids"][row]) == context.item_ids
        assert tuple(online["context_feedback"][row]) == context.feedback
        assert json.loads(online["profile_json"][row]) == context.profile
    assert {values[-1] for name, values in online.items() if name != "user_id"} == {None}


def test_the_first_service_is_what_deployed_transformers_know(feast: Any) -> None:
    """Its columns must never change: they ask for it by name."""
    service = feast.get_feature_service("user_context_v1")
    columns = {feature.name for view in service.feature_view_projections for feature in view.features}
    context = {"context_item_ids", "context_feedback", "top_categories", "top_category_shares"}
    assert columns == {*context, "profile_json"}


def test_online_rows_say_when_the_log_ended(feast: Any, data: PreparedData) -> None:
    """How fresh a row is: not how long its user was away."""
    users = data.users["user_id"].to_pylist()
    online = feast.get_online_features(
        features=feast.get_feature_service("user_context_v2"), entity_rows=[{"user_id": u} for u in users]
    ).to_dict(include_event_timestamps=True)
    for name in ("context_item_ids", "top_categories", "profile_json"):
        assert set(online[f"{name}__ts"]) == {int(log_end(data).as_py().timestamp())}


def test_items_have_their_status_and_users_their_fields(feast: Any, data: PreparedData) -> None:
    items = data.items["item_id"].to_pylist()
    status = feast.get_online_features(
        features=["item_status:status"], entity_rows=[{"item_id": item} for item in items]
    ).to_dict()
    assert status["status"] == data.items["status"].to_pylist()
    users = data.users.to_pylist()
    online = feast.get_online_features(
        features=["user_profile:profile_age", "user_profile:profile_region"],
        entity_rows=[{"user_id": user["user_id"]} for user in users],
    ).to_dict()
    assert online["profile_age"] == [user["age"] for user in users]
    assert online["profile_region"] == [user["region"] for user in users]


@pytest.mark.parametrize("name", ["json", "two words", "a__b", "größe", "user_id_"])
def test_fields_with_odd_names_are_in_the_json_alone(data: PreparedData, name: str) -> None:
    users = data.users.append_column(name, pa.array(["x"] * data.users.num_rows))
    odd = PreparedData(data.events, data.items, users, data.slates, data.quarantine, data.report)
    sources = build(odd, CONFIG)
    assert f"profile_{name}" not in sources.profile_columns
    assert json.loads(sources.profile["profile_json"][0].as_py())[name] == "x"


def test_rows_are_held_out_moments_and_two_after_everything(data: PreparedData) -> None:
    sources = build(data, CONFIG)
    assert sources.context.schema.equals(CONTEXT_ROWS)
    assert sources.interests.schema.equals(INTEREST_ROWS)
    assert sources.status.schema.equals(STATUS_ROWS)
    assert sources.profile.select(PROFILE_ROWS.names).schema.equals(PROFILE_ROWS)
    slates = held_out(data)
    moments = {*zip(slates["user_id"].to_pylist(), slates["history_cutoff"].to_pylist(), strict=True)}
    last: dict[str, Any] = {}
    for event in data.events.select(["user_id", "timestamp"]).to_pylist():
        last[event["user_id"]] = max(event["timestamp"], last.get(event["user_id"], event["timestamp"]))
    moments |= {(user, moment + timedelta(milliseconds=1)) for user, moment in last.items()}
    moments |= {(user, log_end(data).as_py()) for user in last}
    rows = sources.context
    assert {*zip(rows["user_id"].to_pylist(), rows["event_timestamp"].to_pylist(), strict=True)} == moments
    assert rows.num_rows == len(moments)


def test_again_replaces_and_a_store_may_be_moved(folder: Path, feast: Any, data: PreparedData) -> None:
    from feast import FeatureStore

    first = materialise(folder / "data", folder / "again", CONFIG)
    assert materialise(folder / "data", folder / "again", CONFIG) == first
    (folder / "again").rename(folder / "moved")
    moved = FeatureStore(repo_path=str(folder / "moved"))
    user = data.users["user_id"][0].as_py()
    features, rows = ["user_context:context_item_ids"], [{"user_id": user}]
    assert (
        moved.get_online_features(features=features, entity_rows=rows).to_dict()
        == feast.get_online_features(features=features, entity_rows=rows).to_dict()
    )
    assert not [path for path in folder.iterdir() if path.name.startswith(".")], "nothing is left aside"


def test_the_command_prints_what_it_made(folder: Path, data: PreparedData) -> None:
    arguments = [
        "materialise",
        "--data",
        str(folder / "data"),
        "--store",
        str(folder / "cli"),
        "--config",
        "nano",
    ]
    ended = CliRunner().invoke(app, [*arguments, "--json"])
    assert ended.exit_code == 0, ended.output
    made = json.loads(ended.stdout)
    assert (made["users"], made["store"]) == (data.users.num_rows, str(folder / "cli"))


def test_bad_data_is_one_line_and_leaves_nothing(tmp_path: Path, data: PreparedData) -> None:
    ended = CliRunner().invoke(
        app,
        ["materialise", "--data", str(tmp_path / "no"), "--store", str(tmp_path / "s"), "--config", "nano"],
    )
    assert ended.exit_code == 2
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    empty = PreparedData(
        LABELLED_EVENTS.empty_table(), data.items, data.users, data.slates[:0], data.quarantine, data.report
    )
    empty.save(tmp_path / "empty")
    with pytest.raises(InputError, match="holds no event"):
        materialise(tmp_path / "empty", tmp_path / "s", CONFIG)
    assert not (tmp_path / "s").exists()


def test_users_without_events_have_a_profile_and_no_context(data: PreparedData) -> None:
    names = data.users.column_names
    extra = pa.table({name: [f"new-{name}"] for name in names}, schema=data.users.schema)
    users = pa.concat_tables([data.users, extra])
    rows = build(
        PreparedData(data.events, data.items, users, data.slates, data.quarantine, data.report), CONFIG
    )
    assert "new-user_id" not in rows.context["user_id"].to_pylist()
    assert rows.profile.to_pylist()[-1]["user_id"] == "new-user_id"
