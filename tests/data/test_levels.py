"""One event at a time means what a table of them means: `feedback_level` against `label`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.config import EngagementConfig
from higr.data.labels import FLAGS, label
from higr.data.levels import feedback_level
from higr.data.schemas import EVENTS, ITEMS, Feedback

CONFIG = EngagementConfig()


@pytest.mark.parametrize(
    ("event", "duration", "level"),
    [
        ({}, 10.0, Feedback.EXPOSED),
        ({"watch_seconds": 5.0}, 10.0, Feedback.ENGAGED),
        ({"watch_seconds": 4.9}, 10.0, Feedback.EXPOSED),
        ({"watch_seconds": 4.9, "duration_seconds": 5.0}, 10.0, Feedback.ENGAGED),
        ({"watch_seconds": 5.0}, None, Feedback.EXPOSED),
        ({"watch_seconds": 5.0}, 0.0, Feedback.EXPOSED),
        ({"watch_seconds": 5.0, "liked": True}, 10.0, Feedback.STRONG),
        ({"liked": True}, 10.0, Feedback.EXPOSED),
        ({"watch_seconds": 5.0, "liked": True, "disliked": True}, 10.0, Feedback.NEGATIVE),
    ],
)
def test_what_an_event_means(event: dict[str, Any], duration: float | None, level: Feedback) -> None:
    assert feedback_level(event, duration, CONFIG) is level


seconds = st.none() | st.sampled_from([0.0, 0.1, 1.0, 2.9999999, 3.0, 6.0]) | st.floats(0, 1e6)
events = st.fixed_dictionaries(
    {
        "watch_seconds": seconds,
        "duration_seconds": seconds,
        "rating": st.none() | st.floats(-10, 10),
        **{flag: st.none() | st.booleans() for flag in FLAGS},
    }
)
policies = st.builds(
    EngagementConfig,
    effective_view=st.sampled_from(["watch_ratio", "watch_seconds", "long_view", "clicked", "rating"]),
    effective_view_threshold=st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0, 3.0]),
    strong_flags=st.sampled_from([("liked", "shared"), ()]),
    negative_flags=st.sampled_from([("disliked",), ("disliked", "commented"), ()]),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(events, seconds), min_size=1, max_size=20), policies)
def test_the_table_says_the_same(
    rows: list[tuple[dict[str, Any], float | None]], policy: EngagementConfig
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    # A row that has every signal: a log without the configured one is refused.
    whole = {"watch_seconds": 1.0, "rating": 1.0, **dict.fromkeys(FLAGS, False)}
    rows = [*rows, (whole, 1.0)]
    table = pa.Table.from_pylist(
        [
            {"user_id": "u", "item_id": f"i{n}", "timestamp": start + timedelta(seconds=n), **event}
            for n, (event, _) in enumerate(rows)
        ],
        EVENTS,
    )
    items = pa.Table.from_pylist(
        [
            {"item_id": f"i{n}", "category": "c", "duration_seconds": duration}
            for n, (_, duration) in enumerate(rows)
        ],
        ITEMS,
    )
    levels = label(table, items, policy)["feedback"].to_pylist()
    assert [feedback_level(event, duration, policy) for event, duration in rows] == levels
