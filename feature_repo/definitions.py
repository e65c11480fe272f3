"""What the feature store holds, in Feast's own words.

Change a column, and the service gets a new version: a deployed transformer asks for the one it knows.
"""

from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Float32, Int64, String

CONTEXT_FILE = "user_context.parquet"
PROFILE_FILE = "user_profile.parquet"
FOREVER = timedelta(0)  # a context does not lapse: an old history is still the best one there is


def objects(folder: Path) -> list[Entity | FeatureView | FeatureService]:
    """Everything to apply, over the Parquet files in `folder`.

    The path is written into the registry as an absolute one, because Feast's DuckDB store reads a
    relative one from wherever the process happens to run. Online reads do not look at it.
    """
    user = Entity(
        name="user",
        join_keys=["user_id"],
        value_type=ValueType.STRING,
        description="Somebody who is shown slates.",
    )
    user_context = FeatureView(
        name="user_context",
        description="What the user was lately shown and how it was received: the model's history input.",
        entities=[user],
        ttl=FOREVER,
        schema=[
            # The last items the user was shown or engaged with, oldest first.
            Field(name="context_item_ids", dtype=Array(String)),
            # One level an item: 0 negative, 1 exposed, 2 engaged, 3 strong.
            Field(name="context_feedback", dtype=Array(Int64)),
            # Categories the user engaged with most, ever; the strongest first.
            Field(name="top_categories", dtype=Array(String)),
            # Share of the user's engaged items that each of them has.
            Field(name="top_category_shares", dtype=Array(Float32)),
        ],
        source=_source(folder, CONTEXT_FILE),
    )
    user_profile = FeatureView(
        name="user_profile",
        description="What the user told or the platform knows; its fields differ from source to source.",
        entities=[user],
        ttl=FOREVER,
        schema=[
            # Categorical fields as one JSON object, {"age": "18-24"}: the columns of the users table.
            Field(name="profile_json", dtype=String),
        ],
        source=_source(folder, PROFILE_FILE),
    )
    user_context_v1 = FeatureService(
        name="user_context_v1",
        description="All that a slate is made from; read by the transformer.",
        features=[user_context, user_profile],
    )
    return [user, user_context, user_profile, user_context_v1]


def _source(folder: Path, name: str) -> FileSource:
    """Each row: what was known of a user strictly before event_timestamp."""
    return FileSource(
        name=name.removesuffix(".parquet") + "_rows",
        path=str((folder / name).resolve()),
        timestamp_field="event_timestamp",
    )
