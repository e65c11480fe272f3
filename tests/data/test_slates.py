"""Grouping by hand, and what holds for any events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.config import DataConfig
from higr.data.engine import relation
from higr.data.labels import labelled
from higr.data.schemas import EVENTS, ITEMS, LABELLED_EVENTS, SLATES
from higr.data.slates import build_slates, exposures, slates
from higr.data.splits import Boundaries
from higr.errors import InputError

T0 = datetime(2026, 3, 1, tzinfo=UTC)
LIMITS = Boundaries(T0 + timedelta(hours=10), T0 + timedelta(hours=20))


def table(rows: list[tuple[str, str, float, str | None]], **more: Any) -> pa.Table:
    """Rows of (user, item, minutes, request)."""
    full = [
        {
            "user_id": user,
            "item_id": item,
            "timestamp": T0 + timedelta(minutes=minutes),
            "request_id": request,
            "position": place,
            "watch_seconds": float(place),
            "feedback": 2,
            "strength": 1.0 + place,
        }
        | more
        for place, (user, item, minutes, request) in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, schema=LABELLED_EVENTS)


def grouped(rows: list[tuple[str, str, float, str | None]], **fields: Any) -> list[tuple[str, str]]:
    built, _ = build_slates(
        table(rows), LIMITS, DataConfig(**{"min_slate_size": 1, "slate_size": 3} | fields)
    )
    return [(row["split"], "".join(row["item_ids"])) for row in built.to_pylist()]


ROWS = [
    ("u", item, minutes, None) for item, minutes in zip("abcdefg", (0, 1, 2, 50, 51, 599, 600), strict=True)
]
ASKED = [
    ("u", "a", 0, "r1"),
    ("u", "b", 1, "r1"),
    ("u", "c", 2, "r2"),
    ("u", "d", 3, None),
    ("v", "e", 4, "r1"),
]
LATE = [
    ("u", item, minutes, None)
    for item, minutes in zip("abcdefg", (0, 1, 599, 600, 601, 1199, 1200), strict=True)
]
CASES = [
    ("chunks", ROWS, {"slates": "chunk"}, [("train", "abc"), ("train", "def"), ("validation", "g")]),
    (
        "sessions",
        ROWS,
        {"slates": "session", "session_gap_minutes": 30},
        [("train", "abc"), ("train", "de"), ("train", "f"), ("validation", "g")],
    ),
    (
        "a gap is longer than the limit",
        ROWS,
        {"slates": "session", "session_gap_minutes": 48},
        [("train", "abc"), ("train", "de"), ("train", "f"), ("validation", "g")],
    ),
    (
        "long sessions are cut",
        ROWS,
        {"slates": "session", "session_gap_minutes": 49},
        [("train", "abc"), ("train", "de"), ("train", "f"), ("validation", "g")],
    ),
    ("auto without request or gap", ROWS, {}, [("train", "abc"), ("train", "def"), ("validation", "g")]),
    (
        "auto with gap",
        ROWS,
        {"session_gap_minutes": 30},
        [("train", "abc"), ("train", "de"), ("train", "f"), ("validation", "g")],
    ),
    ("requests", ASKED, {"slates": "request"}, [("train", "ab"), ("train", "c"), ("train", "e")]),
    (
        "auto: request where there is one",
        ASKED,
        {},
        [("train", "ab"), ("train", "c"), ("train", "d"), ("train", "e")],
    ),
    (
        "chunks pay no heed to requests",
        ASKED,
        {"slates": "chunk"},
        [("train", "abc"), ("train", "d"), ("train", "e")],
    ),
    ("repeats keep the first", [("u", item, i, "r") for i, item in enumerate("aba")], {}, [("train", "ab")]),
    (
        "a period begins with its first moment, and its own chunks",
        LATE,
        {"slate_size": 4},
        [("train", "abc"), ("validation", "def"), ("test", "g")],
    ),
    ("short ones are left out", ROWS, {"min_slate_size": 2}, [("train", "abc"), ("train", "def")]),
]


@pytest.mark.parametrize(
    ("rows", "fields", "due"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_grouping(rows: list, fields: dict[str, Any], due: list[tuple[str, str]]) -> None:
    assert grouped(rows, **fields) == due


def test_a_session_limit_is_exclusive() -> None:
    rows = [("u", "a", 0, None), ("u", "b", 30, None), ("u", "c", 60.1, None)]
    assert grouped(rows, session_gap_minutes=30) == [("train", "ab"), ("train", "c")]


def test_a_row_in_full() -> None:
    built, counts = build_slates(table(ASKED), LIMITS, DataConfig(slates="request"))
    assert built.schema == SLATES
    assert built.to_pylist() == [
        {
            "slate_id": "u/train/rr1/0",
            "user_id": "u",
            "timestamp": T0,
            "history_cutoff": T0,
            "split": "train",
            "item_ids": ["a", "b"],
            "watch_seconds": [0.0, 1.0],
            "strength": [1.0, 2.0],
            "feedback": [2, 2],
            "surface": None,
        }
    ]
    assert (counts.slates, counts.kept_events, counts.short, counts.short_events) == (1, 2, 2, 2)
    assert (counts.repeats, counts.unplaced) == (0, 1)


def test_requests_are_asked_for_but_there_are_none() -> None:
    with pytest.raises(InputError, match="none of 7 rows has request_id"):
        build_slates(table(ROWS), LIMITS, DataConfig(slates="request"))


@st.composite
def some_rows(draw: st.DrawFn) -> list[tuple[str, str, float, str | None]]:
    count = draw(st.integers(5, 60))
    return [
        (
            draw(st.sampled_from("uv")),
            draw(st.sampled_from("abcdef")),
            draw(st.integers(0, 1500)),
            draw(st.sampled_from([None, "r1", "r2"])),
        )
        for _ in range(count)
    ]


@settings(max_examples=6, deadline=None)
@given(some_rows(), st.sampled_from(["auto", "chunk", "session"]), st.integers(1, 4), st.integers(0, 10**6))
def test_what_always_holds(rows: list, mode: str, size: int, seed: int) -> None:
    config = DataConfig(slates=mode, session_gap_minutes=60, slate_size=size, min_slate_size=1)
    events = table(rows)
    built, counts = build_slates(events, LIMITS, config)
    again, _ = build_slates(events.take(np.random.default_rng(seed).permutation(len(rows))), LIMITS, config)
    assert built.equals(again)  # the order of rows does not matter
    ids = built["slate_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    assert counts.kept_events + counts.repeats + counts.short_events + counts.unplaced == len(rows)
    assert counts.slates == built.num_rows
    moments = {}
    for row in events.to_pylist():
        moments.setdefault((row["user_id"], row["item_id"]), []).append(row["timestamp"])
    for row in built.to_pylist():
        assert 1 <= len(row["item_ids"]) <= size
        assert len(set(row["item_ids"])) == len(row["item_ids"])
        assert (
            len(row["item_ids"]) == len(row["strength"]) == len(row["feedback"]) == len(row["watch_seconds"])
        )
        low, high = {
            "train": (T0, LIMITS.validation_start),
            "validation": (LIMITS.validation_start, LIMITS.test_start),
            "test": (LIMITS.test_start, T0 + timedelta(days=9)),
        }[row["split"]]
        assert row["history_cutoff"] == row["timestamp"]
        for item in row["item_ids"]:  # each was exposed within the period, not before the cut-off
            assert any(max(low, row["history_cutoff"]) <= t < high for t in moments[row["user_id"], item])


@pytest.mark.parametrize("mode", ["auto", "session", "chunk", "request"])
def test_expressions_compile_for_spark(mode: str) -> None:
    """Databricks' compiler is Spark's; the plain one asks for an installed pyspark."""
    config = DataConfig(slates=mode, session_gap_minutes=30)
    durations = relation(ITEMS.empty_table().select(["item_id", "duration_seconds"]))
    events = labelled(relation(EVENTS.empty_table()), durations, config.engagement)
    sql = ibis.to_sql(slates(exposures(events, LIMITS, config)), dialect="databricks")
    assert "PARTITION BY" in sql
