"""Schemas of the prediction and feedback logs: written by serving, read by monitoring and training.

Both are Parquet directories (any number of part files) joined by `request_id`. They hold user ids:
keep them where user data may be kept.
"""

import hashlib

import pyarrow as pa
from pydantic_core import to_json

from higr.data.schemas import EVENTS, TIMESTAMP
from higr.slate import UserContext

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
        pa.field("surface", pa.string()),
        pa.field("context_digest", pa.string()),
        pa.field("features_ms", pa.float32()),
        pa.field("predictor_ms", pa.float32()),
        pa.field("baseline_ms", pa.float32()),
        pa.field("sample_share", pa.float64()),
    ]
)
"""One row a served slate, in the order in which its items were shown.

source: higr, baseline or popular. degraded: features missing or late.
semantic_ids: one list of D codes an item, whatever the source.
propensities: probability with which each item was chosen, given those before it; null where nothing was left
    to chance.
surface: where the slate was shown, as the request named it.
context_digest: `context_digest` of what the model was given.
features_ms, predictor_ms, baseline_ms: what each step took of latency_ms; null where it was not taken. The
    requests of one call share them.
sample_share: of requests that are in the log (`is_sampled`); null: all. A row stands for 1 / sample_share.
"""

ADDED = frozenset(
    {
        *("propensities", "surface", "context_digest"),
        *("features_ms", "predictor_ms", "baseline_ms", "sample_share"),
    }
)
"""Nullable columns that logs of earlier versions do not have."""


def with_added(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table of an earlier version, with null in the columns that were added since."""
    for field in schema:
        if field.name in ADDED and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


FEEDBACK = pa.schema([pa.field("event_id", pa.string(), nullable=False), *EVENTS])
"""One row an exposed item: the `events` table with an id that makes delivery idempotent."""


def context_digest(context: UserContext) -> str:
    """32 hex digits that are equal for equal contexts, on every machine: items, feedback, profile, situation.

    The user's id has no part in it, as it has none in the model. BLAKE2b of the four, parted by the record
    separator of ASCII: values parted by its unit separator, feedback as JSON.
    """
    profile, situation = (
        [f"{name}={value}" for name, value in sorted(facts.items())]
        for facts in (context.profile, context.situation)
    )
    # Joined, for JSON takes several times as long and each request pays for it.
    values = ["\x1f".join(part) for part in (context.item_ids, profile, situation)]
    values.insert(1, to_json(context.feedback).decode())
    return hashlib.blake2b("\x1e".join(values).encode(errors="surrogatepass"), digest_size=16).hexdigest()


def is_sampled(request_id: str, share: float) -> bool:
    """Whether a log of this share of all requests has this one.

    It depends on the id alone, so both logs agree, and what a smaller share has a larger one has too.
    """
    digest = hashlib.blake2b(
        request_id.encode(errors="surrogatepass"), digest_size=8, person=b"higr-sample"
    ).digest()
    return int.from_bytes(digest) < share * 2**64
