"""What the feature store holds, in Feast's own words.

Change a column, and the service gets a new version beside the old one: a deployed transformer asks for the
one it knows.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Float32, Int64, String

CONTEXT_FILE = "user_context.parquet"
INTERESTS_FILE = "user_interests.parquet"
PROFILE_FILE = "user_profile.parquet"
STATUS_FILE = "item_status.parquet"
FOREVER = timedelta(0)  # a context does not lapse: an old history is still the best one there is
# Categorical fields as one JSON object, {"age": "18-24"}: the columns of the users table.
PROFILE_JSON = Field(name="profile_json", dtype=String)


def objects(
    folder: Path, profile_columns: Sequence[str] = ()
) -> list[Entity | FeatureView | FeatureService | PushSource]:
    """Everything to apply, over the Parquet files in `folder`.

    The path is written into the registry as an absolute one, because Feast's DuckDB store reads a
    relative one from wherever the process happens to run. Online reads do not look at it.

    Args:
        profile_columns: of the profile's source beside `profile_json`; they differ from source to source.
    """
    user = Entity(
        name="user",
        join_keys=["user_id"],
        value_type=ValueType.STRING,
        description="Somebody who is shown slates.",
    )
    item = Entity(
        name="item",
        join_keys=["item_id"],
        value_type=ValueType.STRING,
        description="Something that slates are made of.",
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
            # When, one an item: milliseconds since 1970, UTC. Feast's own moments are whole seconds.
            Field(name="context_times", dtype=Array(Int64)),
            # Place in its slate, one an item; orders those of one moment.
            Field(name="context_positions", dtype=Array(Int64)),
            # Distinct items the user was lately shown, whatever came of it, the one shown last at the end.
            Field(name="exposed_item_ids", dtype=Array(String)),
            # When each was shown last, as above.
            Field(name="exposed_times", dtype=Array(Int64)),
        ],
        source=PushSource(name="user_context_push", batch_source=_source(folder, CONTEXT_FILE)),
    )
    user_interests = FeatureView(
        name="user_interests",
        description="What the user has engaged with over the whole log; changes slowly.",
        entities=[user],
        ttl=FOREVER,
        schema=[
            # Categories the user engaged with most, ever; the strongest first.
            Field(name="top_categories", dtype=Array(String)),
            # Share of the user's engaged events that each of them has.
            Field(name="top_category_shares", dtype=Array(Float32)),
            # The same of the items' creators; items without one count for none.
            Field(name="top_creators", dtype=Array(String)),
            Field(name="top_creator_shares", dtype=Array(Float32)),
        ],
        source=_source(folder, INTERESTS_FILE),
    )
    user_profile = FeatureView(
        name="user_profile",
        description="What the user told or the platform knows; its fields differ from source to source.",
        entities=[user],
        ttl=FOREVER,
        # The same fields as columns of their own, which training sets select by name.
        schema=[PROFILE_JSON, *(Field(name=name, dtype=String) for name in profile_columns)],
        source=_source(folder, PROFILE_FILE),
    )
    item_status = FeatureView(
        name="item_status",
        description="Whether an item may be shown: for what cannot wait for another bundle.",
        entities=[item],
        ttl=FOREVER,
        schema=[Field(name="status", dtype=String)],  # active or disabled
        source=PushSource(name="item_status_push", batch_source=_source(folder, STATUS_FILE)),
    )
    user_context_v1 = FeatureService(
        name="user_context_v1",
        description="What transformers read that were deployed before there was user_context_v2.",
        features=[
            user_context[["context_item_ids", "context_feedback"]],
            user_interests[["top_categories", "top_category_shares"]],
            user_profile[["profile_json"]],
        ],
    )
    user_context_v2 = FeatureService(
        name="user_context_v2",
        description="All that is known of a user; read by the transformer.",
        features=[user_context, user_interests, user_profile[["profile_json"]]],
    )
    return [
        *(user, item, user_context, user_interests, user_profile, item_status),
        *(user_context_v1, user_context_v2),
    ]


def _source(folder: Path, name: str) -> FileSource:
    """Each row: what was known strictly before event_timestamp."""
    return FileSource(
        name=name.removesuffix(".parquet") + "_rows",
        path=str((folder / name).resolve()),
        timestamp_field="event_timestamp",
    )
