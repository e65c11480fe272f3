"""KuaiRand-Pure (Gao et al., CIKM 2022, CC BY-SA 4.0, kuairand.com): real short-video exposures.

Two layouts are read, told apart by the folder `splits`:

- the official download: log_standard_*_pure.csv (log_random_*_pure.csv where present),
  user_features_pure.csv, video_features_basic_pure.csv, each plain or gzipped;
- a cut of it: splits/val.parquet and splits/test.parquet hold rows of the log; what came before them
  exists as one sequence of watched videos a user only (user_sequences.parquet). Their order is real,
  their spacing is not: the last one has its true moment, each earlier one is put a second before the
  next. Flags of these events come from the sequences of liked and long-watched videos; there is no
  watch time.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from higr.config import DataConfig
from higr.data.kuaishou import USER, user_table
from higr.data.raw import RawTables, folder, need_file, read_csv, read_parquet
from higr.errors import InputError

FLAGS = {
    "is_click": "clicked",
    "long_view": "long_view",
    "is_like": "liked",
    "is_follow": "followed",
    "is_comment": "commented",
    "is_forward": "shared",
    "is_hate": "disliked",
}
LOG = dict.fromkeys(
    ("user_id", "video_id", "time_ms", "play_time_ms", "duration_ms", "tab", *FLAGS), pa.int64()
)
VIDEO = {
    "video_id": pa.int64(),
    "author_id": pa.int64(),
    "upload_dt": pa.string(),
    "video_duration": pa.float64(),
    "tag": pa.string(),
}
SEQUENCE = {
    "user_id": pa.int64(),
    "last_time_ms": pa.int64(),
    **dict.fromkeys(("watch_seq", "like_seq", "long_watch_seq"), pa.list_(pa.int64())),
}
CHINA_OFFSET_MS = 8 * 3_600_000


def load(config: DataConfig, seed: int) -> RawTables:
    """Read either layout; `seed` has no part in it.

    Raises:
        InputError: a file is missing, unreadable, lacks a column or has one of another type.
    """
    base = folder(config)
    return _load_cut(base) if (base / "splits").is_dir() else _load_official(base)


def _load_official(base: Path) -> RawTables:
    logs = sorted({*base.glob("log_standard_*_pure.csv*"), *base.glob("log_random_*_pure.csv*")})
    if not logs:
        raise InputError(f"{base} holds neither log_standard_*_pure.csv nor a folder splits; mend data.path")
    videos = need_file(base, "video_features_basic_pure.csv")
    users = need_file(base, "user_features_pure.csv")
    return RawTables(
        events=_log_events([read_csv(path, LOG) for path in logs]),
        items=_items(read_csv(videos, VIDEO)),
        users=user_table(read_csv(users, USER)),
        files={"events": str(base / "log_*_pure.csv"), "items": str(videos), "users": str(users)},
    )


def _load_cut(base: Path) -> RawTables:
    rows = _log_events([read_parquet(base / "splits" / f"{name}.parquet", LOG) for name in ("val", "test")])
    sequences = read_parquet(base / "user_sequences.parquet", SEQUENCE)
    items, users = base / "item_features.parquet", base / "user_features.parquet"
    return RawTables(
        events=pa.concat_tables([_sequence_events(sequences, rows), rows], promote_options="default"),
        items=_items(read_parquet(items, VIDEO)),
        users=user_table(read_parquet(users, USER)),
        files={
            "events": f"{base}: user_sequences.parquet, splits/val.parquet, splits/test.parquet",
            "items": str(items),
            "users": str(users),
        },
    )


def _log_events(logs: Sequence[pa.Table]) -> pa.Table:
    log = pa.concat_tables([table.select(list(LOG)) for table in logs])
    columns = {
        "user_id": log["user_id"],
        "item_id": log["video_id"],
        "timestamp": log["time_ms"],
        "watch_seconds": _seconds(log["play_time_ms"]),
        "duration_seconds": _known_seconds(log["duration_ms"]),
        "surface": pc.binary_join_element_wise("tab", log["tab"].cast(pa.string()), "-"),
    }
    for theirs, ours in FLAGS.items():
        columns[ours] = pc.not_equal(log[theirs], 0)
    return pa.table(columns)


def _sequence_events(sequences: pa.Table, rows: pa.Table) -> pa.Table:
    """One event a watched video, in the order watched, before the user's first row of the log.

    Where `last_time_ms` is missing the events have no moment either: validation puts them aside.
    """
    first = rows.group_by("user_id").aggregate([("timestamp", "min")])
    first_row = dict(zip(first["user_id"].to_pylist(), first["timestamp_min"].to_pylist(), strict=True))
    columns: dict[str, list[int | None]] = {
        name: [] for name in ("user_id", "item_id", "timestamp", "liked", "long_view")
    }
    for row in sequences.to_pylist():
        watched = row["watch_seq"] or []
        columns["user_id"] += [row["user_id"]] * len(watched)
        columns["item_id"] += watched
        columns["timestamp"] += _moments(len(watched), row["last_time_ms"], first_row.get(row["user_id"]))
        columns["liked"] += mark(watched, row["like_seq"] or [])
        columns["long_view"] += mark(watched, row["long_watch_seq"] or [])
    return pa.table(columns)


def _moments(count: int, last: int | None, first_row: int | None) -> Sequence[int | None]:
    """`count` moments a second apart that end at `last`, and before `first_row` where there is one."""
    if last is None:
        return [None] * count
    if first_row is not None:
        last = min(last, first_row - 1)
    return range(last - 1000 * (count - 1), last + 1, 1000)


def mark(watched: Sequence[int], chosen: Sequence[int]) -> list[bool]:
    """Which of `watched` are the ones in `chosen`, matching from the latest backwards.

    Both sequences keep the last 50, so the beginning of `chosen` may lie before `watched` begins.
    """
    marks = [False] * len(watched)
    left = len(chosen) - 1
    for place in range(len(watched) - 1, -1, -1):
        if left >= 0 and watched[place] == chosen[left]:
            marks[place] = True
            left -= 1
    return marks


def _items(videos: pa.Table) -> pa.Table:
    tags = [[f"tag-{tag}" for tag in (text or "").split(",") if tag] for text in videos["tag"].to_pylist()]
    days = pc.strptime(videos["upload_dt"], format="%Y-%m-%d", unit="ms", error_is_null=True)
    return pa.table(
        {
            "item_id": videos["video_id"],
            "category": [names[0] if names else "unknown" for names in tags],
            "tags": pa.array(tags, pa.list_(pa.string())),
            "creator_id": videos["author_id"],
            "duration_seconds": _known_seconds(videos["video_duration"]),
            "created_at": pc.subtract(days.cast(pa.int64()), CHINA_OFFSET_MS),
        }
    )


def _seconds(milliseconds: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.divide(milliseconds.cast(pa.float64()), 1000.0)


def _known_seconds(milliseconds: pa.ChunkedArray) -> pa.ChunkedArray:
    """KuaiRand writes 0 or nothing for an unknown duration."""
    values = pc.cast(milliseconds, pa.float64())
    known = pc.and_(pc.not_equal(values, 0), pc.is_finite(values))
    return _seconds(pc.if_else(known, values, pa.scalar(None, pa.float64())))
