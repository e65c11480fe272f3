"""KuaiRec 2.0 (Gao et al., CIKM 2022, CC BY-SA 4.0, kuairec.com): short videos with captions.

Reads the official files, each plain or gzipped: big_matrix.csv (or its first rows, big_matrix_1000.csv),
kuairec_caption_category.csv, item_categories.csv, user_features.csv. An item's text is its caption and
topic tags, its enrichment the words seen on its cover; category names stay out of both, for they are
the yardstick of the semantic IDs.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from higr.config import DataConfig
from higr.data.kuaishou import USER, user_table
from higr.data.raw import RawTables, folder, need_file, read_csv
from higr.errors import InputError

LOG = {
    "user_id": pa.int64(),
    "video_id": pa.int64(),
    "play_duration": pa.int64(),
    "video_duration": pa.int64(),
    "timestamp": pa.float64(),
}
CAPTION = {
    "video_id": pa.int64(),
    "manual_cover_text": pa.string(),
    "caption": pa.string(),
    "topic_tag": pa.string(),
    "first_level_category_name": pa.string(),
}
TAGS = {"video_id": pa.int64(), "feat": pa.string()}
UNKNOWN = "UNKNOWN"
LAST_MS = 1e15  # any moment beyond it is as wrong as this one, and this one is still an integer


def load(config: DataConfig, seed: int) -> RawTables:
    """Read the four files; `seed` has no part in it.

    Raises:
        InputError: a file is missing, unreadable or lacks a column, or `feat` holds no list.
    """
    base = folder(config)
    log = need_file(base, "big_matrix.csv", "big_matrix_1000.csv")
    captions = need_file(base, "kuairec_caption_category.csv")
    tags = need_file(base, "item_categories.csv")
    users = need_file(base, "user_features.csv")
    events = _events(read_csv(log, LOG))
    return RawTables(
        events=events,
        items=_items(read_csv(captions, CAPTION), _features(read_csv(tags, TAGS), tags), events),
        users=user_table(read_csv(users, USER)),
        files={"events": str(log), "items": str(captions), "users": str(users)},
    )


def _events(log: pa.Table) -> pa.Table:
    """A missing moment stays missing, an odd one odd: validation puts the row aside."""
    moment = pc.round(pc.multiply(log["timestamp"], 1000.0))
    moment = pc.if_else(pc.less(pc.abs(moment), LAST_MS), moment, LAST_MS)  # NaN and infinity too
    return pa.table(
        {
            "user_id": log["user_id"],
            "item_id": log["video_id"],
            "timestamp": moment.cast(pa.int64()),
            "watch_seconds": pc.divide(log["play_duration"].cast(pa.float64()), 1000.0),
            "duration_seconds": pc.divide(log["video_duration"].cast(pa.float64()), 1000.0),
        }
    )


def _features(tags: pa.Table, path: Path) -> dict[int, list[int]]:
    """Item to its list of tag numbers, written as JSON."""
    features = {}
    for item, text in zip(tags["video_id"].to_pylist(), tags["feat"].to_pylist(), strict=True):
        try:
            features[item] = json.loads(text or "[]")
        except json.JSONDecodeError:
            features[item] = None
        if not isinstance(features[item], list):
            raise InputError(
                f"{path}: feat of video_id {item} is {text[:80]!r}, no list such as [27, 9]; fetch it again"
            )
    return features


def _items(captions: pa.Table, features: dict[int, list[int]], events: pa.Table) -> pa.Table:
    """Duration is known from the log alone, for the items that appear in it."""
    ids = captions["video_id"]
    seen = events.group_by("item_id").aggregate([("duration_seconds", "max")])
    durations = dict(zip(seen["item_id"].to_pylist(), seen["duration_seconds_max"].to_pylist(), strict=True))
    return pa.table(
        {
            "item_id": ids,
            "category": pc.fill_null(captions["first_level_category_name"], UNKNOWN),
            "text": pa.array(
                [
                    item_text(caption, topics)
                    for caption, topics in zip(
                        captions["caption"].to_pylist(), captions["topic_tag"].to_pylist(), strict=True
                    )
                ],
                pa.string(),
            ),
            "enrichment": pa.array(
                [item_text(cover, None) for cover in captions["manual_cover_text"].to_pylist()], pa.string()
            ),
            "tags": pa.array(
                [[f"tag-{tag}" for tag in features.get(item, [])] for item in ids.to_pylist()],
                pa.list_(pa.string()),
            ),
            "duration_seconds": pa.array([durations.get(item) for item in ids.to_pylist()], pa.float64()),
        }
    )


def item_text(caption: str | None, topics: str | None) -> str | None:
    """Caption and topic tags ("[a,b]") as one line; None where there is neither."""
    words = [] if caption in (None, UNKNOWN) else [str(caption)]
    words += [tag.strip() for tag in (topics or "").strip("[]").split(",") if tag.strip()]
    return " ".join(" ".join(words).split()) or None
