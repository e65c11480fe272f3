import asyncio
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from feature_repo.store import materialise
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.data.schemas import TIMESTAMP
from serving.config import MaxAge
from serving.features import FeastFeatures, NoFeatures
from tests.serving.conftest import CONFIG


def read(features: FeastFeatures, *users: str, seconds: float = 60) -> list:
    return asyncio.run(features.read(users, seconds))


def test_known_users_get_the_context_that_training_would_see(
    store: Path, data: PreparedData, index: HistoryIndex
) -> None:
    features = FeastFeatures(store)
    features.warm_up()
    users = data.users["user_id"].to_pylist()
    known = read(features, *users)
    assert [k.context for k in known] == [index.context(user) for user in users]
    assert {k.degraded for k in known} == {None}
    features.close()


def test_an_unknown_user_is_empty_and_degraded(store: Path, data: PreparedData) -> None:
    features = FeastFeatures(store)
    known, stranger = read(features, data.users["user_id"][0].as_py(), "stranger")
    assert known.degraded is None
    assert (stranger.context.user_id, stranger.context.item_ids) == ("stranger", ())
    assert stranger.degraded == "unknown_user"
    features.close()


def test_a_missing_store_degrades_and_is_found_when_it_comes(
    store: Path, tmp_path: Path, data: PreparedData
) -> None:
    features = FeastFeatures(tmp_path / "store")
    features.warm_up()
    user = data.users["user_id"][0].as_py()
    assert read(features, user)[0].degraded == "store_failed"
    shutil.copytree(store, tmp_path / "store")
    assert read(features, user)[0].degraded is None
    features.close()


def test_a_slow_store_is_late_not_waited_for(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = FeastFeatures(store)
    monkeypatch.setattr(features, "_read", lambda users: time.sleep(0.5))
    started = time.monotonic()
    assert read(features, "u", seconds=0.02)[0].degraded == "late"
    assert time.monotonic() - started < 5
    features.close()


def test_no_store_is_said_so() -> None:
    (known,) = asyncio.run(NoFeatures().read(["u"], 1))
    assert (known.context.item_ids, known.degraded) == ((), "no_store")


@pytest.mark.parametrize(
    ("max_age", "degraded"),
    [
        (MaxAge(), None),
        (MaxAge(user_context=3600), "stale"),
        (MaxAge(user_profile=3600), "stale"),
        (MaxAge(user_interests=3600), "stale"),
        (MaxAge(user_context=1e9, user_interests=1e9, user_profile=1e9), None),
    ],
    ids=["any age", "an old context", "an old profile", "old interests", "old enough"],
)
def test_what_is_old_is_used_and_said_to_be(
    store: Path, data: PreparedData, index: HistoryIndex, max_age: MaxAge, degraded: str | None
) -> None:
    """The simulator's log ended long ago."""
    features = FeastFeatures(store, max_age)
    user = data.users["user_id"][0].as_py()
    known, stranger = read(features, user, "stranger")
    assert (known.context, known.degraded) == (index.context(user), degraded)
    assert stranger.degraded == "unknown_user", "who is not known has no age"
    features.close()


def test_age_is_that_of_the_log_and_not_of_the_users_last_visit(
    workshop: Path, data: PreparedData, tmp_path: Path
) -> None:
    """One user was here a moment ago, the others long before: nobody's context is older than the log."""
    late = data.events.slice(data.events.num_rows - 1)
    now = pa.array([datetime.now(UTC)], TIMESTAMP)
    column = late.schema.get_field_index("timestamp")
    late = late.set_column(column, late.schema.field(column), now)
    events = pa.concat_tables([data.events.slice(0, data.events.num_rows - 1), late])
    replace(data, events=events).save(tmp_path / "data")
    materialise(tmp_path / "data", tmp_path / "store", CONFIG.data)
    features = FeastFeatures(tmp_path / "store", MaxAge(user_context=3600))
    assert {known.degraded for known in read(features, *data.users["user_id"].to_pylist())} == {None}
    features.close()


def test_a_store_of_the_version_before_is_read(tmp_path: Path, data: PreparedData, store: Path) -> None:
    """As it was before there was user_context_v2."""
    from feast import FeatureStore

    shutil.copytree(store, tmp_path / "store")
    feast = FeatureStore(repo_path=str(tmp_path / "store"))
    feast.delete_feature_service("user_context_v2")
    features = FeastFeatures(tmp_path / "store")
    assert read(features, data.users["user_id"][0].as_py())[0].degraded is None
    feast.delete_feature_service("user_context_v1")
    later = FeastFeatures(tmp_path / "store")
    assert read(later, data.users["user_id"][0].as_py())[0].degraded == "store_failed"
    features.close()
    later.close()


def test_another_store_in_the_place_of_one_is_read(
    tmp_path: Path, workshop: Path, data: PreparedData, store: Path
) -> None:
    shutil.copytree(store, tmp_path / "store")
    features = FeastFeatures(tmp_path / "store")
    user = data.users["user_id"][0].as_py()
    assert read(features, user)[0].degraded is None
    shutil.rmtree(tmp_path / "store")
    assert read(features, user)[0].degraded is None, "while it is replaced the old one is read on"
    fewer = replace(data, events=data.events.filter(pc.not_equal(data.events["user_id"], user)))
    fewer.save(tmp_path / "data")
    materialise(tmp_path / "data", tmp_path / "store", CONFIG.data)
    assert read(features, user)[0].degraded == "unknown_user"
    features.close()


def test_a_store_that_keeps_failing_is_not_asked_by_everybody(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = FeastFeatures(store)
    asked = []

    def failing(users: list[str]) -> list:
        asked.append(users)
        raise OSError

    monkeypatch.setattr(features, "_read", failing)
    for _ in range(20):
        assert read(features, "u")[0].degraded == "store_failed"
    assert len(asked) == 5
    features.close()
