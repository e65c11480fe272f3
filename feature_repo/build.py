"""Prepared tables to the Parquet sources of the feature store, point in time.

Contexts come from the same `HistoryIndex` as training examples, so that training and serving
cannot differ. Rows: one a (user, moment of a held-out slate), one a user just after its last event, and one
a user at the end of the log: that one is read online, and its time says how fresh the store is. Training
slates get no rows: training reads the index itself, and they would be nine tenths of the store.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.config import DataConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.data.schemas import TIMESTAMP, Feedback

HELD_OUT = ("validation", "test")
TOP = 10
"""Categories and creators of a user that are kept."""
PLAIN = re.compile(r"(_?[A-Za-z0-9])+")
"""Names of profile fields that can be part of a feature's: Feast keeps double underscores to itself."""

_USER = (pa.field("user_id", pa.string(), nullable=False), pa.field("event_timestamp", TIMESTAMP, False))
CONTEXT_ROWS = pa.schema(
    [
        *_USER,
        pa.field("context_item_ids", pa.list_(pa.string())),
        pa.field("context_feedback", pa.list_(pa.int64())),
        pa.field("context_times", pa.list_(pa.int64())),
        pa.field("context_positions", pa.list_(pa.int64())),
        pa.field("exposed_item_ids", pa.list_(pa.string())),
        pa.field("exposed_times", pa.list_(pa.int64())),
    ]
)
INTEREST_ROWS = pa.schema(
    [
        *_USER,
        pa.field("top_categories", pa.list_(pa.string())),
        pa.field("top_category_shares", pa.list_(pa.float32())),
        pa.field("top_creators", pa.list_(pa.string())),
        pa.field("top_creator_shares", pa.list_(pa.float32())),
    ]
)
PROFILE_ROWS = pa.schema([*_USER, pa.field("profile_json", pa.string())])
"""And a column `profile_FIELD` for each field of the users table that has a plain name."""
STATUS_ROWS = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("event_timestamp", TIMESTAMP, nullable=False),
        pa.field("status", pa.string()),
    ]
)


@dataclass(frozen=True)
class Sources:
    """The tables behind the views: `CONTEXT_ROWS`, `INTEREST_ROWS`, `PROFILE_ROWS`, `STATUS_ROWS`."""

    context: pa.Table
    interests: pa.Table
    profile: pa.Table
    status: pa.Table

    @property
    def profile_columns(self) -> list[str]:
        """Those beside `profile_json`."""
        return [name for name in self.profile.column_names if name not in PROFILE_ROWS.names]


def build(data: PreparedData, config: DataConfig) -> Sources:
    """Rows of every user; `config` must be what `data` was prepared with."""
    index = HistoryIndex.build(data.events, data.users, config)
    moments = _moments(data)
    recent = [kept.columns() for kept in index.recent(moments)]
    engaged = data.events.filter(pc.greater_equal(data.events["feedback"], int(Feedback.ENGAGED)))
    categories = _Interests(engaged, data.items, "category").tops(moments)
    creators = _Interests(engaged, data.items, "creator_id").tops(moments)
    keys = {"user_id": moments["user_id"], "event_timestamp": moments["history_cutoff"]}
    context = {name: [columns[name] for columns in recent] for name in CONTEXT_ROWS.names[len(keys) :]}
    interests = {
        "top_categories": [[name for name, _ in top] for top in categories],
        "top_category_shares": [[share for _, share in top] for top in categories],
        "top_creators": [[name for name, _ in top] for top in creators],
        "top_creator_shares": [[share for _, share in top] for top in creators],
    }
    return Sources(
        context=pa.table({**keys, **context}, schema=CONTEXT_ROWS),
        interests=pa.table({**keys, **interests}, schema=INTEREST_ROWS),
        profile=_profiles(data, index),
        status=_status(data),
    )


def log_end(data: PreparedData) -> Any:
    """A millisecond after the last event: all that is known was known strictly before. Milliseconds, UTC."""
    return pc.add(pc.max(data.events["timestamp"]).cast(pa.int64()), 1).cast(TIMESTAMP)


def _moments(data: PreparedData) -> pa.Table:
    """(user_id, history_cutoff), distinct, sorted."""
    slates = data.slates.filter(pc.is_in(data.slates["split"], pa.array(HELD_OUT)))
    last = data.events.group_by("user_id").aggregate([("timestamp", "max")])
    after = pc.add(last["timestamp_max"].cast(pa.int64()), 1).cast(TIMESTAMP)
    ends = pa.table({"user_id": last["user_id"], "history_cutoff": after})
    final = ends.set_column(1, "history_cutoff", pa.repeat(log_end(data), ends.num_rows))
    moments = pa.concat_tables([slates.select(ends.column_names).cast(ends.schema), ends, final])
    distinct = moments.group_by(ends.column_names).aggregate([])
    return distinct.sort_by([("user_id", "ascending"), ("history_cutoff", "ascending")])


class _Interests:
    """A property of the items that every user engaged with, in time order, counted up to a moment."""

    def __init__(self, engaged: pa.Table, items: pa.Table, column: str) -> None:
        row = pc.index_in(engaged["item_id"], value_set=items["item_id"])
        self._values = items[column].take(row).to_pylist()
        self._times = engaged["timestamp"].cast(pa.int64()).to_numpy()
        users = engaged["user_id"].to_pylist()
        starts = [i for i, user in enumerate(users) if i == 0 or users[i - 1] != user]
        ends = [*starts[1:], len(users)]
        self._spans = {users[start]: (start, end) for start, end in zip(starts, ends, strict=False)}

    def tops(self, moments: pa.Table) -> list[list[tuple[str, float]]]:
        cutoffs = moments["history_cutoff"].cast(pa.int64()).to_pylist()
        return [self._top(u, t) for u, t in zip(moments["user_id"].to_pylist(), cutoffs, strict=True)]

    def _top(self, user_id: str, before: int) -> list[tuple[str, float]]:
        start, end = self._spans.get(user_id, (0, 0))
        end = start + int(np.searchsorted(self._times[start:end], before))
        counts = Counter(value for value in self._values[start:end] if value is not None)
        # Ties by name: the same log gives the same rows.
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:TOP]
        return [(name, count / (end - start)) for name, count in ranked]


def _profiles(data: PreparedData, index: HistoryIndex) -> pa.Table:
    """Two rows a user of the users table. Profiles bear no time, so they hold from the log's beginning; the
    row of its end says that they are still the platform's."""
    users = data.users["user_id"].to_pylist()
    profiles = [
        json.dumps(dict(index.context(user).profile), sort_keys=True, ensure_ascii=False) for user in users
    ]
    fields = [name for name in data.users.column_names if PLAIN.fullmatch(name)]
    own = {f"profile_{name}": data.users[name] for name in fields if name not in ("user_id", "json")}
    schema = pa.schema([*PROFILE_ROWS, *(pa.field(name, pa.string()) for name in own)])
    rows = [
        pa.table(
            {
                "user_id": users,
                "event_timestamp": pa.repeat(moment, len(users)),
                "profile_json": profiles,
                **own,
            },
            schema=schema,
        )
        for moment in (pc.min(data.events["timestamp"]), log_end(data))
    ]
    return pa.concat_tables(rows)


def _status(data: PreparedData) -> pa.Table:
    """One row an item: its status was not known before the log's end."""
    items = data.items
    columns = [items["item_id"], pa.repeat(log_end(data), items.num_rows), items["status"]]
    return pa.table(columns, schema=STATUS_ROWS)
