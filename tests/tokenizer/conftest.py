"""Small worlds of items whose content has a known structure."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from higr.data.prepared import PreparedData
from higr.data.schemas import ITEMS, LABELLED_EVENTS, SLATES, USERS, Feedback

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPICS = {
    "cooking": "slow braised ramen broth noodles kitchen recipe",
    "football": "striker goal league match penalty stadium",
    "travel": "mountain hike island ferry sunset hostel",
    "music": "guitar drum concert melody singer stage",
    "生活": "今天 天气 真好 出去 散步 公园",
}


@pytest.fixture(scope="session")
def items_table() -> Callable[..., pa.Table]:
    """`ITEMS` from some columns; the others are null."""

    def build(**columns: list[Any]) -> pa.Table:
        count = len(columns["item_id"])
        defaults = {"category": ["none"] * count}
        arrays = [pa.array((defaults | columns).get(f.name, [None] * count), f.type) for f in ITEMS]
        return pa.table(arrays, schema=ITEMS)

    return build


@pytest.fixture(scope="session")
def events_table() -> Callable[[list[tuple[str, str, int]]], pa.Table]:
    """`LABELLED_EVENTS` from (user, item, feedback) in time order, one a minute."""

    def build(rows: list[tuple[str, str, int]]) -> pa.Table:
        columns: dict[str, list[Any]] = {
            "user_id": [row[0] for row in rows],
            "item_id": [row[1] for row in rows],
            "timestamp": [START + timedelta(minutes=i) for i in range(len(rows))],
            "feedback": [row[2] for row in rows],
            "strength": [float(row[2] >= Feedback.ENGAGED) for row in rows],
        }
        arrays = [pa.array(columns.get(f.name, [None] * len(rows)), f.type) for f in LABELLED_EVENTS]
        return pa.table(arrays, schema=LABELLED_EVENTS)

    return build


@pytest.fixture(scope="session")
def prepared(items_table: Callable[..., pa.Table], events_table: Callable[..., pa.Table]) -> PreparedData:
    """200 items of five topics; users stay within a topic for a while."""
    rng = np.random.default_rng(0)
    topics = list(TOPICS)
    of = rng.integers(len(topics), size=200)
    texts = [" ".join(rng.choice(TOPICS[topics[t]].split(), 4)) for t in of]
    items = items_table(
        item_id=[f"v{i:03d}" for i in range(200)],
        category=[topics[t] for t in of],
        text=texts,
        tags=[[f"{topics[t]}-{rng.integers(2)}"] for t in of],
        duration_seconds=rng.uniform(5, 300, 200).tolist(),
        created_at=[START - timedelta(days=float(d)) for d in rng.uniform(0, 100, 200)],
        status=["disabled", *["active"] * 199],
    )
    rows = []
    for user in range(40):
        for _ in range(3):
            same = np.flatnonzero(of == rng.integers(len(topics)))
            rows += [(f"u{user:02d}", f"v{i:03d}", int(Feedback.ENGAGED)) for i in rng.choice(same, 5)]
    events = events_table(rows)
    return PreparedData(
        events=events,
        items=items,
        users=USERS.empty_table(),
        slates=SLATES.empty_table(),
        quarantine=pa.table({"table": pa.array([], pa.string())}),
        report={"validation_start": "2026-06-01T00:00:00+00:00"},
    )
