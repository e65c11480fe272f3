"""What KuaiRand and KuaiRec share: Kuaishou's user features."""

import pyarrow as pa
import pyarrow.compute as pc

PROFILE = (
    *("user_active_degree", "is_live_streamer", "is_video_author", "follow_user_num_range"),
    *("fans_user_num_range", "friend_user_num_range", "register_days_range"),
    *(f"onehot_feat{i}" for i in (0, 1, 2, 4, 6, 9, 10, 11, 12, 13, 14, 15, 16, 17)),
)
"""Fields of at most 50 values. The rest are counts or have hundreds of values."""

USER = {"user_id": pa.int64(), **dict.fromkeys(PROFILE, pa.string())}
"""Columns of the features' CSV files."""

_UNKNOWN = ("UNKNOWN", "-124")


def user_table(users: pa.Table) -> pa.Table:
    """user_id and `PROFILE` as strings; what Kuaishou marks as unknown is null, and 1.0 is 1."""
    columns = {"user_id": users["user_id"]}
    for name in PROFILE:
        text = pc.replace_substring_regex(users[name].cast(pa.string()), pattern=r"\.0$", replacement="")
        unknown = pc.is_in(text, value_set=pa.array(_UNKNOWN))
        columns[name] = pc.if_else(unknown, pa.scalar(None, pa.string()), text)
    return pa.table(columns)
