"""Old state and new events are the context of the whole log, in whatever order the events come."""

from datetime import UTC, datetime
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.config import DataConfig
from higr.data import context, recent
from higr.data.context import HistoryIndex
from higr.data.recent import NO_POSITION, Recent, Seen, Shown
from higr.data.schemas import LABELLED_EVENTS, USERS, Feedback

CONFIG = DataConfig(history_engaged=3, history_exposed=4)
START = 1_767_225_600_000  # 2026-01-01


def of_log(events: list[Seen], config: DataConfig = CONFIG) -> Recent:
    """By the index that training uses."""
    ordered = sorted(events)
    rows = [
        {
            "user_id": "u",
            "item_id": event.item_id,
            "timestamp": datetime.fromtimestamp(event.time / 1000, UTC),
            "position": None if event.position == NO_POSITION else event.position,
            "feedback": event.feedback,
            "strength": 0.0,
        }
        for event in ordered
    ]
    table = pa.Table.from_pylist(rows, LABELLED_EVENTS)
    index = HistoryIndex.build(table, USERS.empty_table(), config)
    end = datetime.fromtimestamp(START / 1000 + 1e6, UTC)
    moments = pa.table({"user_id": ["u"], "history_cutoff": pa.array([end], pa.timestamp("ms", "UTC"))})
    kept = index.recent(moments)[0]
    whole = index.context("u")
    assert tuple(event.item_id for event in kept.events) == whole.item_ids
    assert tuple(event.feedback for event in kept.events) == whole.feedback
    return kept


def seen(second: int, item: str, feedback: int = 1, position: int = NO_POSITION) -> Seen:
    return Seen(START + second * 1000, position, item, feedback)


def test_engaged_events_outlive_the_others() -> None:
    log = [seen(n, f"i{n}", 2 if n in (0, 1, 2, 3) else 1) for n in range(9)]
    kept = Recent().extended(log, CONFIG)
    # The last four of any kind, and of the last three engaged those before them.
    assert [event.item_id for event in kept.events] == ["i1", "i2", "i3", "i5", "i6", "i7", "i8"]
    assert kept == of_log(log)


@pytest.mark.parametrize(
    ("old", "new", "items"),
    [
        ([(0, "a")], [(1, "b")], ["a", "b"]),
        ([(1, "b")], [(0, "a")], ["a", "b"]),
        ([(0, "a")], [(0, "a")], ["a"]),
        ([(0, "a")], [(1, "a")], ["a", "a"]),
        ([(n, f"i{n}") for n in range(4)], [(-1, "late")], ["i0", "i1", "i2", "i3"]),
        ([(n, f"i{n}") for n in range(4)], [(2, "late")], ["i1", "i2", "late", "i3"]),
    ],
    ids=["newer", "older", "again", "the item again", "older than all that is kept", "in between"],
)
def test_order(old: list[tuple[int, str]], new: list[tuple[int, str]], items: list[str]) -> None:
    kept = Recent().extended((seen(*event) for event in old), CONFIG)
    assert [event.item_id for event in kept.extended((seen(*e) for e in new), CONFIG).events] == items


def test_of_one_moment_the_position_decides_then_the_item() -> None:
    log = [seen(0, "d"), seen(0, "c", position=2), seen(0, "b", position=2), seen(0, "a", position=3)]
    kept = Recent().extended(log, CONFIG)
    assert [event.item_id for event in kept.events] == ["b", "c", "a", "d"]
    assert kept == of_log(log)


def test_shown_items_are_kept_once_by_their_last_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "EXPOSED_ITEMS", 2)
    kept = Recent().extended([seen(0, "a"), seen(1, "b"), seen(2, "c"), seen(3, "b")], CONFIG)
    assert kept.exposed == (Shown(START + 2000, "c"), Shown(START + 3000, "b"))


histories = st.lists(
    st.builds(
        seen,
        st.integers(0, 12),
        st.sampled_from("abcdefgh"),
        st.sampled_from(list(map(int, Feedback))),
        st.sampled_from([NO_POSITION, 1, 2]),
    ),
    max_size=40,
    unique_by=lambda event: (event.time, event.item_id),
)


@settings(max_examples=60, deadline=None)
@given(histories.filter(bool), st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 5))
def test_any_batches_in_any_order_come_to_the_same(
    log: list[Seen], random: Any, engaged: int, exposed: int
) -> None:
    config = DataConfig(history_engaged=engaged, history_exposed=exposed)
    with mock.patch.object(recent, "EXPOSED_ITEMS", 3), mock.patch.object(context, "EXPOSED_ITEMS", 3):
        assert in_batches(log, random, config) == of_log(log, config)


def in_batches(log: list[Seen], random: Any, config: DataConfig) -> Recent:
    shuffled = random.sample(log, len(log))
    kept = Recent()
    while shuffled:
        size = random.randint(1, 5)
        again = random.sample(log, 1)  # some come twice, but not before they came
        kept = kept.extended(shuffled[:size], config)
        if again[0] not in shuffled[size:]:
            kept = kept.extended(again, config)
        shuffled = shuffled[size:]
    return kept


def test_columns_come_back_as_they_were() -> None:
    kept = Recent().extended([seen(0, "a", 3, 1), seen(1, "b")], CONFIG)
    columns = {name: np.array(values) for name, values in kept.columns().items()}
    assert Recent.of({name: values.tolist() for name, values in columns.items()}) == kept
    with pytest.raises(ValueError, match="longer"):
        Recent.of({**kept.columns(), "context_times": [1]})


GOOD = {"item_id": "i", "timestamp": datetime(2026, 1, 1, 0, 0, 0, 1999, UTC), "watch_seconds": 5.0}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Seen(START + 1, NO_POSITION, "i", 2)),
        ({"position": 3}, Seen(START + 1, 3, "i", 2)),
        ({"item_id": "unknown"}, None),
        ({"timestamp": datetime(1970, 1, 2, tzinfo=UTC)}, None),
        ({"watch_seconds": 1e300}, None),
    ],
    ids=["good", "at a position", "an item of no bundle", "before there were logs", "no 32-bit number"],
)
def test_an_event_is_seen_as_validation_sees_it(changes: dict[str, Any], expected: Seen | None) -> None:
    assert Seen.of({**GOOD, **changes}, {"i": 10.0}, CONFIG) == expected
