"""Feedback becomes part of contexts: real stores, a Redis that comes and goes."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from feature_repo.store import materialise
from higr.bundle import Bundle
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.data.recent import Recent
from higr.slate import UserContext
from serving import push
from serving.features import FeastFeatures
from serving.live_policy import LivePolicyFile
from serving.metrics import Metrics
from serving.online import OnlineStore
from serving.push import ContextPusher
from serving.schemas import FeedbackEvent
from serving.served import Served
from tests.redis_server import RedisServer
from tests.serving.conftest import CONFIG

PATIENCE = 120.0
TRIES = 4
NOW = datetime.now(UTC).replace(microsecond=0)


class Bench:
    """A store of its own, a pusher, and a reader beside it."""

    def __init__(self, folder: Path, data: Path, bundle: Bundle, online: str | None = None) -> None:
        self.store, self.data, self.online = folder / "store", data, online
        materialise(data, self.store, CONFIG.data, online)
        self.registry = CollectorRegistry()
        served = Served.of(bundle, None, LivePolicyFile(None))  # type: ignore[arg-type]
        self.pusher = ContextPusher(self.store, lambda: served, Metrics(self.registry))
        self.features = FeastFeatures(self.store)

    def context(self, user: str) -> UserContext:
        for _ in range(TRIES):  # a busy machine may take longer than a server waits for Redis
            known = asyncio.run(self.features.read([user], 60))[0]
            if known.degraded != "store_failed":
                break
        assert known.degraded in (None, "unknown_user"), known.degraded
        return known.context

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def pushed(self, count: int) -> bool:
        return self.value("higr_pushed_events_total", outcome="pushed") >= count

    def close(self) -> None:
        self.pusher.close()
        self.features.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", persistent=True) as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, workshop: Path, data: PreparedData, bundle: Bundle
) -> Iterator[Bench]:
    redis = request.getfixturevalue("redis") if request.param == "redis" else None
    made = Bench(tmp_path, workshop / "data", bundle, redis and redis.url)
    yield made
    made.close()


@pytest.fixture
def fleeting(
    tmp_path: Path, workshop: Path, data: PreparedData, bundle: Bundle, redis: RedisServer
) -> Iterator[Bench]:
    """On a Redis that a test may stop."""
    made = Bench(tmp_path, workshop / "data", bundle, redis.url)
    yield made
    made.close()


def event(user: str, item: str, second: int = 0, **fields: Any) -> FeedbackEvent:
    moment = (NOW + timedelta(seconds=second)).isoformat()
    given = {"event_id": f"{user}{item}{second}", "user_id": user, "item_id": item, "timestamp": moment}
    return FeedbackEvent.model_validate({**given, **fields})


def test_the_next_context_has_what_was_sent(bench: Bench, data: PreparedData, index: HistoryIndex) -> None:
    user, items = data.users["user_id"][0].as_py(), data.items["item_id"].to_pylist()
    before = index.context(user)
    sent = [
        event(user, items[0], -3, watch_seconds=1e6, liked=True),
        event(user, items[1], -1, disliked=True),
        event("new", items[0], -1, watch_seconds=1e6),
    ]
    bench.pusher.offer(sent)
    until(lambda: bench.pushed(3))
    bench.pusher.offer([event(user, items[2], -2), *sent[:1]])
    until(lambda: bench.pushed(5))
    after = bench.context(user)
    assert after.item_ids[-4:] == (before.item_ids[-1], items[0], items[2], items[1])
    assert after.feedback[-3:] == (3, 1, 0)
    assert after.profile == before.profile
    new = bench.context("new")
    assert (new.item_ids, new.feedback) == ((items[0],), (2,))


def test_it_is_what_training_would_make_of_the_whole_log(
    bench: Bench, data: PreparedData, index: HistoryIndex
) -> None:
    """More events than a context is long, by all users, one request after the other."""
    users = data.users["user_id"].to_pylist()[:5]
    items = data.items["item_id"].to_pylist()
    sent = [
        event(users[n % 5], items[n % len(items)], n - 400, watch_seconds=float(n % 30), liked=n % 7 == 0)
        for n in range(400)
    ]
    for start in range(0, len(sent), 40):
        bench.pusher.offer(sent[start : start + 40])
    until(lambda: bench.pushed(len(sent)))
    whole = labelled(data, sent)
    for user in users:
        assert bench.context(user) == whole.context(user)


def labelled(data: PreparedData, events: list[FeedbackEvent]) -> HistoryIndex:
    """The index of the log with these events in it, labelled as tables are."""
    from higr.data.labels import label
    from higr.data.schemas import EVENTS

    rows = [{name: getattr(event, name) for name in EVENTS.names} for event in events]
    table = pa.concat_tables([data.events.select(EVENTS.names), pa.Table.from_pylist(rows, EVENTS)])
    return HistoryIndex.build(label(table, data.items, CONFIG.data.engagement), data.users, CONFIG.data)


def test_a_row_that_cannot_be_read_stands_in_nobodys_way(bench: Bench, data: PreparedData) -> None:
    user, item = data.users["user_id"][0].as_py(), data.items["item_id"][0].as_py()
    broken = {**Recent().columns(), "context_item_ids": ["a", "b"], "context_feedback": [1]}
    OnlineStore(bench.store).write_contexts({user: (NOW, broken)})
    bench.pusher.offer([event(user, item)])
    until(lambda: bench.pushed(1))
    assert bench.context(user).item_ids == (item,)


def test_items_that_training_would_not_see_are_passed_over(bench: Bench) -> None:
    bench.pusher.offer([event("new", "no-such-item")])
    until(lambda: bench.value("higr_pushed_events_total", outcome="passed_over") == 1)
    assert bench.context("new").item_ids == ()


def test_another_store_has_what_the_last_one_was_told(bench: Bench, data: PreparedData) -> None:
    """Materialised from a log that ended before the feedback came."""
    item = data.items["item_id"][0].as_py()
    bench.pusher.offer([event("new", item)])
    until(lambda: bench.pushed(1))
    materialise(bench.data, bench.store, CONFIG.data, bench.online)
    bench.pusher.offer([event("newer", item)])
    until(lambda: bench.pushed(2))
    assert [bench.context(user).item_ids for user in ("new", "newer")] == [(item,), (item,)]


@pytest.mark.parametrize("fault", ["killed", "hung"])
def test_what_redis_does_not_take_is_pushed_when_it_is_back(
    fleeting: Bench, redis: RedisServer, data: PreparedData, fault: str
) -> None:
    item = data.items["item_id"][0].as_py()
    redis.kill() if fault == "killed" else redis.hang()
    fleeting.pusher.offer([event("new", item)])
    until(lambda: fleeting.value("higr_feature_failures_total", work="push") >= 2)
    fleeting.pusher.offer([event("new", item, 1)])
    redis.start() if fault == "killed" else redis.go_on()
    until(lambda: fleeting.pushed(2))
    assert fleeting.context("new").item_ids == (item, item)


def test_too_many_waiting_events_are_dropped_the_oldest_first(
    fleeting: Bench, redis: RedisServer, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = data.items["item_id"].to_pylist()[:6]
    monkeypatch.setattr(push, "WAITING", 3)
    redis.kill()
    fleeting.pusher.offer([event("new", items[0])])
    until(lambda: fleeting.value("higr_feature_failures_total", work="push") >= 1)
    fleeting.pusher.offer([event("new", item, second) for second, item in enumerate(items)])
    redis.start()
    until(lambda: fleeting.pushed(3))
    assert fleeting.context("new").item_ids == tuple(items[-3:])
    assert fleeting.value("higr_pushed_events_total", outcome="dropped") == 4


def test_what_waits_is_pushed_at_the_end(bench: Bench, data: PreparedData) -> None:
    item = data.items["item_id"][0].as_py()
    bench.pusher.offer([event("new", item)])
    bench.pusher.close()
    assert bench.context("new").item_ids == (item,)


def test_a_bundle_without_settings_of_data_pushes_nothing(
    tmp_path: Path, workshop: Path, bundle: Bundle, data: PreparedData
) -> None:
    config = {key: value for key, value in bundle.manifest.config.items() if key != "data"}
    bare = replace(bundle, manifest=bundle.manifest.model_copy(update={"config": config}))
    made = Bench(tmp_path, workshop / "data", bare)
    made.pusher.offer([event("new", data.items["item_id"][0].as_py())])
    until(lambda: made.value("higr_feature_failures_total", work="push") >= 1)
    made.close()
    assert not made.pushed(1)
