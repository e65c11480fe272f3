"""Contexts against a slow reading of the same rule, and against the future."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.config import DataConfig, SimulatorConfig
from higr.data.context import HistoryIndex
from higr.data.prepare import prepare
from higr.data.schemas import LABELLED_EVENTS, Feedback
from higr.slate import UserContext

T0 = datetime(2026, 3, 1, tzinfo=UTC)
PROFILES = pa.table({"user_id": ["u", "v"], "age": ["20", None], "region": ["north", "south"]})


def table(rows: list[tuple[str, str, int, int]]) -> pa.Table:
    """Rows of (user, item, seconds, feedback), in the order of the events table."""
    full = [
        {"user_id": u, "item_id": i, "timestamp": T0 + timedelta(seconds=t), "feedback": f, "strength": 0.0}
        for u, i, t, f in sorted(rows, key=lambda row: (row[0], row[2]))
    ]
    return pa.Table.from_pylist(full, schema=LABELLED_EVENTS)


def slow(
    rows: list[tuple[str, str, int, int]], user: str, before: int, engaged: int, exposed: int
) -> UserContext:
    own = [
        row for row in sorted(rows, key=lambda row: (row[0], row[2])) if row[0] == user and row[2] < before
    ]
    last = {n for n in range(len(own)) if n >= len(own) - exposed}
    last |= set([n for n, row in enumerate(own) if row[3] >= Feedback.ENGAGED][-engaged:])
    kept = [own[n] for n in sorted(last)]
    profile = {"u": {"age": "20", "region": "north"}, "v": {"region": "south"}}.get(user, {})
    return UserContext(user, tuple(row[1] for row in kept), tuple(row[3] for row in kept), profile)


def test_by_hand() -> None:
    rows = [
        ("u", "a", 1, 2),
        ("u", "b", 2, 3),
        ("u", "c", 3, 1),
        ("u", "d", 4, 0),
        ("u", "e", 4, 1),
        ("v", "f", 1, 2),
    ]
    index = HistoryIndex.build(table(rows), PROFILES, DataConfig(history_engaged=1, history_exposed=2))
    context = index.context("u")
    assert context.item_ids == ("b", "d", "e")
    assert context.feedback == (3, 0, 1)
    assert context.profile == {"age": "20", "region": "north"}
    assert index.context("u", T0 + timedelta(seconds=4)).item_ids == ("b", "c")  # strictly before
    assert index.context("u", (T0 + timedelta(seconds=1)).replace(tzinfo=None)).item_ids == ()
    assert index.context("v").profile == {"region": "south"}
    assert index.context("stranger") == UserContext("stranger")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.integers(0, 9), st.integers(0, 3)),
        min_size=1,
        max_size=30,
    ),
    st.lists(st.tuples(st.sampled_from("uvwx"), st.integers(0, 11)), min_size=1, max_size=8),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_against_the_slow_reading(rows: list, asked: list, engaged: int, exposed: int) -> None:
    config = DataConfig(history_engaged=engaged, history_exposed=exposed)
    index = HistoryIndex.build(table(rows), PROFILES, config)
    due = [slow(rows, user, before, engaged, exposed) for user, before in asked]
    situation = {"hour": f"{T0.hour:02d}", "weekday": T0.strftime("%A").lower(), "surface": "feed"}
    cutoffs = [T0 + timedelta(seconds=before) for _, before in asked]
    slates = pa.table(
        {
            "user_id": [user for user, _ in asked],
            "history_cutoff": pa.array(cutoffs, LABELLED_EVENTS.field("timestamp").type),
            "surface": ["feed"] * len(asked),
        }
    )
    assert index.contexts(slates) == [replace(context, situation=situation) for context in due]
    assert [index.context(user, cutoff) for (user, _), cutoff in zip(asked, cutoffs, strict=True)] == due


@settings(max_examples=3, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    mode=st.sampled_from(["request", "chunk", "session"]),
    fraction=st.sampled_from([0.1, 0.3]),
)
def test_no_example_sees_the_future(seed: int, mode: str, fraction: float) -> None:
    """Contexts and targets of training slates stay before validation; every context before its slate."""
    world = SimulatorConfig(users=12, items=60, slates_per_user=6, days=7)
    config = DataConfig(
        simulator=world,
        slates=mode,
        session_gap_minutes=30,
        test_fraction=fraction,
        validation_fraction=0.1,
        history_engaged=9,
        history_exposed=12,
    )
    data = prepare(config, seed)
    # Item ids that carry their moment show where a context's events come from.
    stamps = data.events["timestamp"].cast(pa.int64()).to_numpy()
    marked = data.events.set_column(1, LABELLED_EVENTS.field("item_id"), pa.array(stamps.astype(str)))
    index = HistoryIndex.build(marked, data.users, config)
    start = datetime.fromisoformat(data.report["validation_start"])
    for name in ("train", "validation", "test"):
        slates = data.split(name)
        cutoffs = slates["history_cutoff"].cast(pa.int64()).to_pylist()
        for cutoff, context in zip(cutoffs, index.contexts(slates), strict=True):
            assert all(int(moment) < cutoff for moment in context.item_ids)
            if name == "train":
                assert cutoff < start.timestamp() * 1000
    assert np.max(data.train_events["timestamp"].to_numpy()) < np.datetime64(start.replace(tzinfo=None))
    shown = set(zip(*(data.train_events[name].to_pylist() for name in ("user_id", "item_id")), strict=True))
    for row in data.split("train").to_pylist():
        assert all((row["user_id"], item) in shown for item in row["item_ids"])


def test_searches_do_not_grow_with_the_slates(monkeypatch: pytest.MonkeyPatch) -> None:
    """200,000 contexts are due within seconds: all cutoffs are found at once, not slate by slate."""
    rows = [(f"u{second % 7}", f"i{second % 11}", second, second % 4) for second in range(500)]
    events = table(rows)
    index = HistoryIndex.build(events, PROFILES, DataConfig())
    slates = events.rename_columns({"timestamp": "history_cutoff"})
    search, calls = np.searchsorted, 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return search(*arguments, **options)

    monkeypatch.setattr(np, "searchsorted", counted)
    found = []
    for count in (1, 500):
        calls = 0
        assert len(index.contexts(slates.slice(0, count))) == count
        found.append(calls)
    assert found[0] == found[1] > 0
