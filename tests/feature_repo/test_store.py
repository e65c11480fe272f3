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
from feature_repo.build import CONTEXT_ROWS, HELD_OUT, PROFILE_ROWS, build
from feature_repo.store import materialise
from higr.config import load_config
from higr.data.context import HistoryIndex
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.data.schemas import LABELLED_EVENTS
from higr.errors import InputError
from serving.features import SERVICE

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


def test_the_past_is_what_the_training_index_says_it_was(
    feast: Any, data: PreparedData, index: HistoryIndex
) -> None:
    slates = held_out(data)
    entities = (
        slates.select(["user_id", "history_cutoff"])
        .rename_columns(["user_id", "event_timestamp"])
        .to_pandas()
    )
    joined = feast.get_historical_features(
        entity_df=entities, features=feast.get_feature_service(SERVICE)
    ).to_df()
    assert len(joined) == slates.num_rows > 50
    for row in joined.to_dict("records"):
        context = index.context(row["user_id"], row["event_timestamp"].to_pydatetime())
        assert tuple(row["context_item_ids"]) == context.item_ids
        assert tuple(row["context_feedback"]) == context.feedback
        assert json.loads(row["profile_json"]) == context.profile


def test_no_row_knows_anything_at_or_after_its_moment(data: PreparedData) -> None:
    """Independent of the index: recounted from the events."""
    events = data.events.select(["user_id", "item_id", "timestamp", "feedback"]).to_pylist()
    category = dict(zip(data.items["item_id"].to_pylist(), data.items["category"].to_pylist(), strict=True))
    for row in build(data, CONFIG).context.to_pylist()[::7]:
        before = [
            e for e in events if e["user_id"] == row["user_id"] and e["timestamp"] < row["event_timestamp"]
        ]
        assert set(row["context_item_ids"]) <= {e["item_id"] for e in before}
        assert row["context_item_ids"][-12:] == [e["item_id"] for e in before][-12:]
        engaged = Counter(category[e["item_id"]] for e in before if e["feedback"] >= 2)
        shares = dict(zip(row["top_categories"], row["top_category_shares"], strict=True))
        assert shares == pytest.approx({name: n / engaged.total() for name, n in engaged.most_common(10)})
        assert row["top_category_shares"] == sorted(row["top_category_shares"], reverse=True)


def test_online_is_the_final_context_of_every_user(
    feast: Any, data: PreparedData, index: HistoryIndex
) -> None:
    users = data.users["user_id"].to_pylist()
    online = feast.get_online_features(
        features=feast.get_feature_service(SERVICE),
        entity_rows=[{"user_id": user} for user in [*users, "new"]],
    ).to_dict()
    for row, user in enumerate(users):
        context = index.context(user)
        assert tuple(online["context_item_ids"][row]) == context.item_ids
        assert tuple(online["context_feedback"][row]) == context.feedback
        assert json.loads(online["profile_json"][row]) == context.profile
    assert {values[-1] for name, values in online.items() if name != "user_id"} == {None}


def test_rows_are_held_out_moments_and_one_after_everything(data: PreparedData) -> None:
    sources = build(data, CONFIG)
    assert sources.context.schema.equals(CONTEXT_ROWS)
    assert sources.profile.schema.equals(PROFILE_ROWS)
    slates = held_out(data)
    moments = {*zip(slates["user_id"].to_pylist(), slates["history_cutoff"].to_pylist(), strict=True)}
    last: dict[str, Any] = {}
    for event in data.events.select(["user_id", "timestamp"]).to_pylist():
        last[event["user_id"]] = max(event["timestamp"], last.get(event["user_id"], event["timestamp"]))
    moments |= {(user, moment + timedelta(milliseconds=1)) for user, moment in last.items()}
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
