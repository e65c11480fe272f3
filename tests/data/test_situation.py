"""Run: pytest tests/data"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa

from higr.config import DataConfig
from higr.data.context import HistoryIndex
from higr.data.prepare import prepare
from higr.data.situation import situation_of

Write = Callable[..., DataConfig]


def test_hour_and_weekday_are_utc() -> None:
    china = timezone(timedelta(hours=8))
    assert situation_of(datetime(2026, 3, 2, 6, 59, tzinfo=china)) == {"hour": "22", "weekday": "sunday"}
    assert situation_of(datetime(2026, 3, 2, tzinfo=UTC), "feed") == {
        "hour": "00",
        "weekday": "monday",
        "surface": "feed",
    }


def test_a_context_has_the_situation_of_its_slate(good: dict[str, pa.Table], write: Write) -> None:
    """Requests of hour 3 are shown on tab b, all others on a."""
    hours = [int(request[1]) for request in good["events"]["request_id"].to_pylist()]
    surface = pa.array(["b" if hour == 3 else "a" for hour in hours])
    data = prepare(write({**good, "events": good["events"].append_column("surface", surface)}), 0)
    index = HistoryIndex.build(data.events, data.users, DataConfig())
    for row, context in zip(data.slates.to_pylist(), index.contexts(data.slates), strict=True):
        assert context.situation["hour"] == f"{row['timestamp'].hour:02d}"
        assert context.situation["surface"] == ("b" if row["timestamp"].hour == 3 else "a")
    assert {row["surface"] for row in data.slates.to_pylist()} == {"a", "b"}


def test_slates_of_no_surface_have_none(good: dict[str, pa.Table], write: Write) -> None:
    data = prepare(write(good), 0)
    assert data.slates["surface"].null_count == data.slates.num_rows
    index = HistoryIndex.build(data.events, data.users, DataConfig())
    assert all(c.situation.keys() == {"hour", "weekday"} for c in index.contexts(data.slates))
    assert index.context("u0").situation == {}
