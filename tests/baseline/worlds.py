"""Small worlds built by hand, so that every number can be worked out on paper."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from higr.data.prepared import PreparedData
from higr.data.schemas import ITEMS, LABELLED_EVENTS, SLATES
from higr.slate import UserContext

START = datetime(2026, 1, 1, tzinfo=UTC)

Events = Sequence[tuple[str, str, int, int]]
"""(user, item, hour, feedback)"""


def table(schema: pa.Schema, rows: Sequence[dict]) -> pa.Table:
    full = [{field.name: row.get(field.name) for field in schema} for row in rows]
    return pa.Table.from_pylist(full, schema=schema)


def items_table(categories: dict[str, str], disabled: Sequence[str] = ()) -> pa.Table:
    rows = [
        {
            "item_id": item,
            "category": category,
            "creator_id": f"creator-{category}",
            "duration_seconds": 10.0,
            "created_at": START,
            "status": "disabled" if item in disabled else "active",
        }
        for item, category in sorted(categories.items())
    ]
    return table(ITEMS, rows)


def events_table(events: Events) -> pa.Table:
    rows = [
        {
            "user_id": user,
            "item_id": item,
            "timestamp": START + timedelta(hours=hour),
            "feedback": feedback,
            "strength": float(feedback) if feedback >= 2 else 0.0,
        }
        for user, item, hour, feedback in sorted(events, key=lambda e: (e[0], e[2]))
    ]
    return table(LABELLED_EVENTS, rows)


def prepared(
    items: pa.Table, events: Events, slates: Sequence[dict] = (), validation_hour: int = 10_000
) -> PreparedData:
    labelled = events_table(events)
    users = pa.table({"user_id": pa.array(sorted({event[0] for event in events}), pa.string())})
    start = (START + timedelta(hours=validation_hour)).isoformat()
    return PreparedData(
        labelled, items, users, table(SLATES, slates), pa.table({}), {"validation_start": start}
    )


def slate_row(
    index: int,
    user: str,
    hour: int,
    items: Sequence[str],
    feedback: Sequence[int],
    split: str = "train",
) -> dict:
    return {
        "slate_id": f"s{index:06d}",
        "user_id": user,
        "timestamp": START + timedelta(hours=hour),
        "history_cutoff": START + timedelta(hours=hour),
        "split": split,
        "item_ids": list(items),
        "watch_seconds": [1.0] * len(items),
        "strength": [float(level) if level >= 2 else 0.0 for level in feedback],
        "feedback": list(feedback),
    }


def tastes(users: int, items: int, slates_each: int, seed: int) -> tuple[PreparedData, list[UserContext]]:
    """Users who engage with the category of their number, modulo 3; contexts of the training slates."""
    rng = np.random.default_rng(seed)
    category = {f"i{i:03d}": f"c{i % 3}" for i in range(items)}
    ids = sorted(category)
    events, slates, contexts = [], [], []
    past: dict[str, list[tuple[str, int]]] = {f"u{u}": [] for u in range(users)}
    for hour in range(slates_each * users):
        taste = f"c{hour % users % 3}"
        user = f"u{hour % users}"
        shown = rng.choice(ids, 4, replace=False).tolist()
        levels = [2 if category[item] == taste and rng.random() < 0.9 else 1 for item in shown]
        contexts.append(context(user, past[user]))
        slates.append(slate_row(len(slates), user, hour, shown, levels))
        past[user] += zip(shown, levels, strict=True)
        events += [(user, item, hour, level) for item, level in zip(shown, levels, strict=True)]
    return prepared(items_table(category), events, slates), contexts


def context(user: str, past: Sequence[tuple[str, int]]) -> UserContext:
    """From (item, feedback) pairs, oldest first."""
    return UserContext(user, tuple(item for item, _ in past), tuple(level for _, level in past))
