"""Schemas of the prediction and feedback logs: written by serving, read by monitoring and training.

Both are Parquet directories (any number of part files) joined by `request_id`. They hold user ids:
keep them where user data may be kept.
"""

import pyarrow as pa

from higr.data.schemas import EVENTS, TIMESTAMP

PREDICTIONS = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("fallback_reason", pa.string()),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("item_ids", pa.list_(pa.string()), nullable=False),
        pa.field("scores", pa.list_(pa.float32()), nullable=False),
        pa.field("semantic_ids", pa.list_(pa.list_(pa.int32())), nullable=False),
        pa.field("history_length", pa.int32(), nullable=False),
        pa.field("degraded", pa.bool_(), nullable=False),
        pa.field("latency_ms", pa.float32(), nullable=False),
        pa.field("propensities", pa.list_(pa.float32())),
    ]
)
"""One row a served slate. `source` is higr, baseline or popular; `degraded`: features missing or late.
`semantic_ids` has one list of D codes an item, whatever the source. `propensities`: probability with which
each item was chosen, given those before it; null where nothing was left to chance."""

ADDED = frozenset({"propensities"})
"""Nullable columns that logs of earlier versions do not have."""


def with_added(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table of an earlier version, with null in the columns that were added since."""
    for field in schema:
        if field.name in ADDED and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


FEEDBACK = pa.schema([pa.field("event_id", pa.string(), nullable=False), *EVENTS])
"""One row an exposed item: the `events` table with an id that makes delivery idempotent."""
