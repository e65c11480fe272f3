"""Prepared tables to the Parquet sources of the feature store, point in time.

Contexts come from the same `HistoryIndex` as training examples, so that training and serving
cannot differ. Rows: one a (user, moment of a held-out slate), and one last row a user with all
that is known. Training slates get no rows: training reads the index itself, and they would be nine
tenths of the store.
"""

import json
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.config import DataConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.data.schemas import TIMESTAMP, Feedback
from higr.slate import UserContext

HELD_OUT = ("validation", "test")
TOP_CATEGORIES = 10

CONTEXT_ROWS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("event_timestamp", TIMESTAMP, nullable=False),
        pa.field("context_item_ids", pa.list_(pa.string())),
        pa.field("context_feedback", pa.list_(pa.int64())),
        pa.field("top_categories", pa.list_(pa.string())),
        pa.field("top_category_shares", pa.list_(pa.float32())),
    ]
)
PROFILE_ROWS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("event_timestamp", TIMESTAMP, nullable=False),
        pa.field("profile_json", pa.string()),
    ]
)


@dataclass(frozen=True)
class Sources:
    """The two tables behind the views: `CONTEXT_ROWS` and `PROFILE_ROWS`, sorted by user and time."""

    context: pa.Table
    profile: pa.Table


def build(data: PreparedData, config: DataConfig) -> Sources:
    """Rows of every user; `config` must be what `data` was prepared with."""
    index = HistoryIndex.build(data.events, data.users, config)
    moments = _moments(data)
    contexts = _contexts(index, moments)
    tops = _CategoryProfile(data).tops(moments)
    context = pa.table(
        {
            "user_id": moments["user_id"],
            "event_timestamp": moments["history_cutoff"],
            "context_item_ids": [list(c.item_ids) for c in contexts],
            "context_feedback": [[int(level) for level in c.feedback] for c in contexts],
            "top_categories": [[name for name, _ in top] for top in tops],
            "top_category_shares": [[share for _, share in top] for top in tops],
        },
        schema=CONTEXT_ROWS,
    )
    return Sources(context, _profiles(data, index))


def _moments(data: PreparedData) -> pa.Table:
    """(user_id, history_cutoff): each held-out slate, and a millisecond after each user's last event."""
    slates = data.slates.filter(pc.is_in(data.slates["split"], pa.array(HELD_OUT)))
    last = data.events.group_by("user_id").aggregate([("timestamp", "max")])
    after = pc.add(last["timestamp_max"].cast(pa.int64()), 1).cast(TIMESTAMP)
    ends = pa.table({"user_id": last["user_id"], "history_cutoff": after})
    moments = pa.concat_tables([slates.select(["user_id", "history_cutoff"]).cast(ends.schema), ends])
    distinct = moments.group_by(["user_id", "history_cutoff"]).aggregate([])
    return distinct.sort_by([("user_id", "ascending"), ("history_cutoff", "ascending")])


def _contexts(index: HistoryIndex, moments: pa.Table) -> list[UserContext]:
    return index.contexts(moments)


class _CategoryProfile:
    """Engaged categories of every user in time order, counted up to a moment."""

    def __init__(self, data: PreparedData) -> None:
        engaged = data.events.filter(pc.greater_equal(data.events["feedback"], int(Feedback.ENGAGED)))
        row = pc.index_in(engaged["item_id"], value_set=data.items["item_id"])
        self._categories = data.items["category"].take(row).to_pylist()
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
        counts = Counter(self._categories[start:end])
        # Ties by name: the same log gives the same rows.
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:TOP_CATEGORIES]
        return [(name, count / (end - start)) for name, count in ranked]


def _profiles(data: PreparedData, index: HistoryIndex) -> pa.Table:
    """One row a user of the users table. Profiles bear no time, so they hold from the log's beginning."""
    users = data.users["user_id"].to_pylist()
    first = pc.min(data.events["timestamp"])
    return pa.table(
        {
            "user_id": users,
            "event_timestamp": [first] * len(users),
            "profile_json": [
                json.dumps(dict(index.context(user).profile), sort_keys=True, ensure_ascii=False)
                for user in users
            ],
        },
        schema=PROFILE_ROWS,
    )
