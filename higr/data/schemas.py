"""Arrow schemas of the tables that travel between rooms.

Timestamps are UTC milliseconds. Ids are strings. A column marked optional may be absent in a
user's file; after `higr.data.validate` it is present and null. Additional columns of `users`
are categorical profile fields; additional columns of the other tables are dropped.
"""

from enum import IntEnum

import pyarrow as pa

TIMESTAMP = pa.timestamp("ms", tz="UTC")


class Feedback(IntEnum):
    """How an exposed item was received. ENGAGED and above is an effective view."""

    NEGATIVE = 0
    EXPOSED = 1
    ENGAGED = 2
    STRONG = 3


EVENTS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("request_id", pa.string()),
        pa.field("position", pa.int16()),
        pa.field("watch_seconds", pa.float32()),
        pa.field("duration_seconds", pa.float32()),
        pa.field("rating", pa.float32()),
        pa.field("clicked", pa.bool_()),
        pa.field("long_view", pa.bool_()),
        pa.field("liked", pa.bool_()),
        pa.field("followed", pa.bool_()),
        pa.field("commented", pa.bool_()),
        pa.field("shared", pa.bool_()),
        pa.field("disliked", pa.bool_()),
        pa.field("surface", pa.string()),
    ]
)
"""`surface` is where an item was shown: page, tab, device, by any name."""

ITEMS = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("enrichment", pa.string()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("creator_id", pa.string()),
        pa.field("duration_seconds", pa.float32()),
        pa.field("created_at", TIMESTAMP),
        pa.field("value", pa.float32()),
        pa.field("embedding", pa.list_(pa.float32())),
        pa.field("status", pa.string()),
    ]
)
"""`enrichment` is further text about an item: what is seen in it, whom it interests.
`value` is what an item is worth to the business, in any one unit, higher is better: alignment can use it.
`status` is `active` (default) or `disabled`; a disabled item is never recommended."""

USERS = pa.schema([pa.field("user_id", pa.string(), nullable=False)])

LABELLED_EVENTS = pa.schema(
    [
        *EVENTS,
        pa.field("feedback", pa.int8(), nullable=False),
        pa.field("strength", pa.float32(), nullable=False),
    ]
)
"""Events after labelling, sorted by (user_id, timestamp, position, item_id).

`strength` is 0 for what was not engaged with, positive for what was, and grows with the feedback.
"""

SLATES = pa.schema(
    [
        pa.field("slate_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("history_cutoff", TIMESTAMP, nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("item_ids", pa.list_(pa.string()), nullable=False),
        pa.field("watch_seconds", pa.list_(pa.float32()), nullable=False),
        pa.field("strength", pa.list_(pa.float32()), nullable=False),
        pa.field("feedback", pa.list_(pa.int8()), nullable=False),
        pa.field("surface", pa.string()),
    ]
)
"""One row a slate, its surface that of the first exposure. `split` is train, validation or test. Only
events strictly before `history_cutoff` (the slate's first exposure) may enter its history."""
