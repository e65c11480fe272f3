"""The same user at the same moment is the same tensors, however the context came there.

Training reads the index: that is the reference. Beside it: the point-in-time join, the online read of SQLite
and of Redis, and a store of half the log that got the other half event by event.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from feature_repo.build import HELD_OUT
from feature_repo.push import push
from feature_repo.store import materialise
from higr.catalog import Catalog
from higr.config import RunConfig, load_config
from higr.data.context import HistoryIndex
from higr.data.logs import FEEDBACK
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.data.schemas import TIMESTAMP
from higr.data.situation import situations_of
from higr.model.inputs import ContextBatch, ProfileVocabulary, encode_contexts
from higr.slate import UserContext
from higr.training.examples import build_examples, fit_profiles
from serving.features import FeastFeatures
from tests.redis_server import RedisServer

CONFIG: RunConfig = load_config(
    "nano", {"data.simulator.users": 40, "data.history_exposed": 12, "data.history_engaged": 8}
)
TRIES = 4
ROUNDS = 12
"""Pushes in which the second half of the log comes; few enough that each has several users and moments."""


@pytest.fixture(scope="module")
def data() -> PreparedData:
    return prepare(CONFIG.data, 0)


@pytest.fixture(scope="module")
def index(data: PreparedData) -> HistoryIndex:
    return HistoryIndex.build(data.events, data.users, CONFIG.data)


@pytest.fixture(scope="module")
def catalog(data: PreparedData) -> Catalog:
    items = data.items["item_id"].to_pylist()
    codes = np.array([divmod(n, 32) for n in range(len(items))], dtype=np.int32)
    return Catalog.build(items, codes, 32)


@pytest.fixture(scope="module")
def profiles(data: PreparedData, index: HistoryIndex) -> ProfileVocabulary:
    return fit_profiles(data, index, CONFIG.model)


@pytest.fixture(scope="module")
def tensors(catalog: Catalog, profiles: ProfileVocabulary) -> Callable[[list[UserContext]], ContextBatch]:
    return lambda contexts: encode_contexts(contexts, catalog, profiles, CONFIG.model)


def same(one: ContextBatch, other: ContextBatch) -> bool:
    names = ("items", "feedback", "profile")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def online(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    if request.param == "sqlite":
        yield None
        return
    with RedisServer(tmp_path_factory.mktemp("redis")) as redis:
        yield redis.url


def stored(store: Path, users: list[str]) -> list[UserContext]:
    """As the transformer reads them."""
    features = FeastFeatures(store)
    features.warm_up()
    for _ in range(TRIES):  # a busy machine may take longer than a server waits for Redis
        known = asyncio.run(features.read(users, 60))
        if {one.degraded for one in known} == {None}:
            break
    features.close()
    assert {one.degraded for one in known} == {None}
    return [one.context for one in known]


def test_training_examples_are_point_in_time_rows(
    data: PreparedData,
    index: HistoryIndex,
    catalog: Catalog,
    profiles: ProfileVocabulary,
    tensors: Callable[[list[UserContext]], ContextBatch],
    tmp_path: Path,
) -> None:
    from feast import FeatureStore

    data.save(tmp_path / "data")
    materialise(tmp_path / "data", tmp_path / "store", CONFIG.data)
    slates = data.slates.filter(pc.is_in(data.slates["split"], pa.array(HELD_OUT)))
    examples = build_examples(slates, index, catalog, profiles, CONFIG)
    slates = slates.take(pa.array(examples.targets.rows.numpy()))
    moments = slates.select(["user_id", "history_cutoff"]).rename_columns(["user_id", "event_timestamp"])
    feast = FeatureStore(repo_path=str(tmp_path / "store"))
    joined = feast.get_historical_features(
        entity_df=moments.append_column("row", pa.array(range(len(moments)))).to_pandas(),
        features=feast.get_feature_service("user_context_v2"),
    ).to_df()
    contexts = [
        UserContext(
            row["user_id"],
            tuple(row["context_item_ids"]),
            tuple(row["context_feedback"]),
            json.loads(row["profile_json"]),
            situation,
        )
        for row, situation in zip(
            joined.sort_values("row").to_dict("records"), situations_of(slates), strict=True
        )
    ]
    assert len(contexts) > 50
    assert same(tensors(contexts), examples.contexts)


def test_what_is_read_online_is_the_context_of_the_whole_log(
    data: PreparedData,
    index: HistoryIndex,
    tensors: Callable[[list[UserContext]], ContextBatch],
    online: str | None,
    tmp_path: Path,
) -> None:
    data.save(tmp_path / "data")
    materialise(tmp_path / "data", tmp_path / "store", CONFIG.data, online)
    users = data.users["user_id"].to_pylist()
    assert same(tensors(stored(tmp_path / "store", users)), tensors([index.context(user) for user in users]))


def test_half_a_log_and_the_pushes_of_the_other_half_are_the_whole_log(
    data: PreparedData,
    index: HistoryIndex,
    tensors: Callable[[list[UserContext]], ContextBatch],
    online: str | None,
    tmp_path: Path,
) -> None:
    times = sorted(data.events["timestamp"].cast(pa.int64()).to_pylist())
    middle = pa.scalar(times[len(times) // 2], TIMESTAMP)
    early = replace(data, events=data.events.filter(pc.less(data.events["timestamp"], middle)))
    early.save(tmp_path / "data")
    store = tmp_path / "store"
    materialise(tmp_path / "data", store, CONFIG.data, online)
    late = as_feedback(data.events.filter(pc.greater_equal(data.events["timestamp"], middle)))
    late = late.take(pa.array(random.Random(0).sample(range(late.num_rows), late.num_rows)))
    size = -(-late.num_rows // ROUNDS)
    for start in range(0, late.num_rows, size):
        push(store, late.slice(start, size), data.items, CONFIG.data)
    users = data.users["user_id"].to_pylist()
    whole = [index.context(user) for user in users]
    assert stored(store, users) == whole
    assert same(tensors(stored(store, users)), tensors(whole))


def as_feedback(events: pa.Table) -> pa.Table:
    """Unlabelled, as a client would send them."""
    ids: Any = [f"e{n}" for n in range(events.num_rows)]
    return events.select(FEEDBACK.names[1:]).add_column(0, "event_id", pa.array(ids)).cast(FEEDBACK)
