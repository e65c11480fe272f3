import asyncio
import shutil
import time
from pathlib import Path

import pytest

from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from serving.features import FeastFeatures, NoFeatures


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
