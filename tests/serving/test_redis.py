"""A whole server on a Redis that is up, hung, killed and back: every request is answered in time."""

import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from feature_repo.push import set_status
from feature_repo.store import materialise
from higr.bundle import Bundle
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from tests.redis_server import RedisServer
from tests.serving.conftest import CONFIG
from tests.serving.process import PATIENCE, Server

pytestmark = pytest.mark.slow

DEADLINE_MS = 4000
"""Long enough for a busy machine: then `late` means that a wait for Redis was not bounded by itself."""
SETTINGS = """
features:
  push: true
  item_status_seconds: 0.2
  max_age_seconds: {user_profile: 3600}
"""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), persistent=True) as server:
        yield server


@pytest.fixture(scope="module")
def store(
    tmp_path_factory: pytest.TempPathFactory, workshop: Path, data: PreparedData, redis: RedisServer
) -> Path:
    store = tmp_path_factory.mktemp("redis-features") / "store"
    materialise(workshop / "data", store, CONFIG.data, redis.url)
    return store


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, bundle: Bundle, store: Path, redis: RedisServer
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("redis-server")
    (folder / "serving.yaml").write_text(SETTINGS)
    arguments = ["--bundle", str(bundle.path), "--features", str(store), "--deadline-ms", str(DEADLINE_MS)]
    arguments += ["--feedback-dir", str(folder / "feedback"), "--config", str(folder / "serving.yaml")]
    server = Server(folder, "higr", arguments)
    try:
        yield server.wait()
    finally:
        redis.go_on()
        assert server.stop(signal.SIGTERM) == 0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def reasons(
    server: Server, name: str = "higr_degraded_requests_total", label: str = "reason"
) -> dict[str, float]:
    found = server.metrics()
    return {dict(labels)[label]: value for (metric, labels), value in found.items() if metric == name}


def feedback(user: str, item: str, number: int) -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat()
    return {
        "event_id": f"{user}-{number}",
        "user_id": user,
        "item_id": item,
        "timestamp": moment,
        "watch_seconds": 1e6,
        "liked": True,
    }


def send(server: Server, *events: dict[str, Any]) -> None:
    answer = server.client.post("/v1/feedback", json={"events": list(events)})
    assert (answer.status_code, answer.json()["accepted"]) == (200, len(events)), answer.text


def in_time(server: Server, user: str) -> dict[str, Any]:
    (prediction,) = server.predict({"user_id": user, "slate_size": 3})
    assert (prediction["source"], prediction["fallback_reason"], len(prediction["items"])) == (
        "higr",
        None,
        3,
    )
    return prediction


def test_an_old_log_is_used_and_said_to_be_stale(
    server: Server, data: PreparedData, index: HistoryIndex
) -> None:
    user = data.users["user_id"][0].as_py()
    until(lambda: in_time(server, user)["degraded"] and "stale" in reasons(server))
    prediction = in_time(server, user)
    assert prediction["degraded"]
    assert not {item["item_id"] for item in prediction["items"]} & set(index.context(user).item_ids)


def test_feedback_is_in_the_next_context(server: Server, data: PreparedData) -> None:
    """Whom nobody knew is known by what was sent of it: it is not shown what it saw."""
    before = in_time(server, "new-user")
    seen = [item["item_id"] for item in before["items"]]
    send(server, *(feedback("new-user", item, number) for number, item in enumerate(seen)))
    until(lambda: reasons(server, "higr_pushed_events_total", "outcome").get("pushed") == 3)
    # A pushed context is fresh, and there is no profile that could be old.
    until(lambda: not in_time(server, "new-user")["degraded"])
    after = next(p for p in iter(lambda: in_time(server, "new-user"), None) if not p["degraded"])
    assert not {item["item_id"] for item in after["items"]} & set(seen)


def test_an_item_that_is_disabled_is_gone(server: Server, store: Path) -> None:
    item = in_time(server, "somebody")["items"][0]["item_id"]
    set_status(store, [item], "disabled")
    until(lambda: item not in {shown["item_id"] for shown in in_time(server, "somebody")["items"]})
    set_status(store, [item], "active")
    until(lambda: item in {shown["item_id"] for shown in in_time(server, "somebody")["items"]})


@pytest.mark.parametrize("fault", ["hung", "killed"])
def test_without_redis_requests_are_answered_and_feedback_is_taken(
    server: Server, redis: RedisServer, data: PreparedData, fault: str
) -> None:
    item = data.items["item_id"][0].as_py()
    user = f"user-{fault}"
    before = reasons(server)
    redis.hang() if fault == "hung" else redis.kill()
    for _ in range(10):
        assert in_time(server, user)["degraded"]
    send(server, feedback(user, item, 0))
    counted = reasons(server)
    assert counted["store_failed"] - before.get("store_failed", 0) == 10
    assert counted.get("late", 0) == 0, "Redis's own time-outs come first"
    until(lambda: reasons(server, "higr_feature_failures_total", "work").get("push", 0) > 0)
    redis.go_on() if fault == "hung" else redis.start()
    until(lambda: not in_time(server, user)["degraded"])
    assert item not in {shown["item_id"] for shown in in_time(server, user)["items"]}


def test_another_store_on_the_same_redis_is_opened(
    server: Server, store: Path, workshop: Path, redis: RedisServer
) -> None:
    """Its settings are read again: here they name another database, which knows the prepared log alone."""
    user = "new-user"
    until(lambda: not in_time(server, user)["degraded"])
    materialise(workshop / "data", store, CONFIG.data, redis.url.replace("/0", "/1"))
    assert in_time(server, user)["degraded"]
    item = in_time(server, user)["items"][0]["item_id"]
    send(server, feedback(user, item, 100))
    until(lambda: not in_time(server, user)["degraded"])
