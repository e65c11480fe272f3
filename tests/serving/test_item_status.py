"""Items that the store says are disabled."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from feature_repo.push import set_status
from higr.bundle import Bundle
from serving import item_status
from serving.item_status import ItemStatus
from serving.live_policy import LivePolicyFile
from serving.metrics import Metrics
from serving.served import Served

PATIENCE = 120.0


@pytest.fixture
def own(tmp_path: Path, store: Path) -> Path:
    shutil.copytree(store, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def served(bundle: Bundle) -> Served:
    return Served.of(bundle, None, LivePolicyFile(None))  # type: ignore[arg-type]


@pytest.fixture
def status(own: Path, served: Served, registry: CollectorRegistry) -> Iterator[ItemStatus]:
    made = ItemStatus(own, lambda: served, 0.1, Metrics(registry))
    yield made
    made.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_is_disabled_is_found_and_found_again(own: Path, served: Served, status: ItemStatus) -> None:
    first, last = served.shelf.eligible[0], served.shelf.eligible[-1]
    assert status.disabled == frozenset()
    set_status(own, [first, last], "disabled")
    until(lambda: status.disabled == {first, last})
    set_status(own, [first], "active")
    until(lambda: status.disabled == {last})


def test_a_store_that_fails_leaves_what_was_known(
    own: Path, served: Served, registry: CollectorRegistry
) -> None:
    item = served.shelf.eligible[0]
    set_status(own, [item], "disabled")
    status = ItemStatus(own, lambda: served, 0.1, Metrics(registry))
    until(lambda: status.disabled == {item})
    (own / "feature_store.yaml").write_text("nonsense")
    until(
        lambda: (registry.get_sample_value("higr_feature_failures_total", {"work": "item_status"}) or 0) > 1
    )
    assert status.disabled == {item}
    status.close()


def test_more_than_a_request_can_carry_are_not_all_blocked(
    own: Path, served: Served, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_status, "MAX_DISABLED", 2)
    items = served.shelf.eligible[:3]
    set_status(own, items, "disabled")
    status = ItemStatus(own, lambda: served, 0.1, Metrics(registry))
    until(lambda: len(status.disabled) == 2)
    assert status.disabled < set(items)
    status.close()
