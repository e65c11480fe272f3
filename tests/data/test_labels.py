"""Feedback and strength, worked out by hand from the policy."""

from typing import Any

import pyarrow as pa
import pytest

from higr.config import EngagementConfig
from higr.data.labels import label
from higr.data.schemas import EVENTS, ITEMS, LABELLED_EVENTS, Feedback

NEGATIVE, EXPOSED, ENGAGED, STRONG = Feedback


def run(
    event: dict[str, Any], config: EngagementConfig, item_duration: float | None = None
) -> tuple[int, float]:
    """Label one event beside one that carries every signal."""
    common = {"user_id": "u", "item_id": "i", "timestamp": 1_800_000_000_000}
    full = {
        "user_id": "z",
        "item_id": "i",
        "timestamp": 1_800_000_000_000,
        "watch_seconds": 1.0,
        "rating": 1.0,
        "long_view": True,
        "clicked": True,
    }
    items = pa.Table.from_pylist(
        [{"item_id": "i", "category": "c", "duration_seconds": item_duration}], schema=ITEMS
    )
    table = label(pa.Table.from_pylist([full, common | event], schema=EVENTS), items, config)
    assert table.schema == LABELLED_EVENTS
    row = table.to_pylist()[0]
    return row["feedback"], row["strength"]


RATIO = EngagementConfig()
CASES = [
    ("half watched", RATIO, {"watch_seconds": 5.0, "duration_seconds": 10.0}, (ENGAGED, 0.5)),
    ("less", RATIO, {"watch_seconds": 4.9, "duration_seconds": 10.0}, (EXPOSED, 0.0)),
    ("liked", RATIO, {"watch_seconds": 8.0, "duration_seconds": 10.0, "liked": True}, (STRONG, 1.8)),
    (
        "liked, shared",
        RATIO,
        {"watch_seconds": 8.0, "duration_seconds": 10.0, "liked": True, "shared": True},
        (STRONG, 2.8),
    ),
    (
        "like without a view",
        RATIO,
        {"watch_seconds": 0.0, "duration_seconds": 10.0, "liked": True},
        (EXPOSED, 0.0),
    ),
    ("clipped", RATIO, {"watch_seconds": 90.0, "duration_seconds": 10.0}, (ENGAGED, 5.0)),
    (
        "disliked",
        RATIO,
        {"watch_seconds": 9.0, "duration_seconds": 10.0, "disliked": True, "liked": True},
        (NEGATIVE, 0.0),
    ),
    ("no duration", RATIO, {"watch_seconds": 9.0}, (EXPOSED, 0.0)),
    ("duration 0", RATIO, {"watch_seconds": 9.0, "duration_seconds": 0.0}, (EXPOSED, 0.0)),
    ("no watch", RATIO, {"duration_seconds": 9.0}, (EXPOSED, 0.0)),
    ("long view", EngagementConfig(effective_view="long_view"), {"long_view": True}, (ENGAGED, 1.0)),
    (
        "long view, like",
        EngagementConfig(effective_view="long_view", flag_strength=0.5),
        {"long_view": True, "liked": True},
        (STRONG, 1.5),
    ),
    (
        "no long view",
        EngagementConfig(effective_view="long_view"),
        {"long_view": False, "watch_seconds": 9.0, "duration_seconds": 9.0},
        (EXPOSED, 0.0),
    ),
    (
        "click",
        EngagementConfig(effective_view="clicked"),
        {"clicked": True, "watch_seconds": 3.0, "duration_seconds": 10.0},
        (ENGAGED, 0.3),
    ),
    (
        "click, not watched",
        EngagementConfig(effective_view="clicked"),
        {"clicked": True, "watch_seconds": 0.0, "duration_seconds": 10.0},
        (ENGAGED, 0.1),
    ),
    (
        "long view of 5 % of it",
        EngagementConfig(effective_view="long_view"),
        {"long_view": True, "watch_seconds": 5.0, "duration_seconds": 100.0},
        (ENGAGED, 0.1),
    ),
    (
        "click, like, not watched",
        EngagementConfig(effective_view="clicked"),
        {"clicked": True, "liked": True, "watch_seconds": 0.0, "duration_seconds": 10.0},
        (STRONG, 1.0),
    ),
    (
        "click, dislike, not watched",
        EngagementConfig(effective_view="clicked"),
        {"clicked": True, "disliked": True, "watch_seconds": 0.0, "duration_seconds": 10.0},
        (NEGATIVE, 0.0),
    ),
    (
        "rating",
        EngagementConfig(effective_view="rating", effective_view_threshold=4),
        {"rating": 4.0},
        (ENGAGED, 1.0),
    ),
    (
        "low rating",
        EngagementConfig(effective_view="rating", effective_view_threshold=4),
        {"rating": 3.5},
        (EXPOSED, 0.0),
    ),
    (
        "seconds",
        EngagementConfig(effective_view="watch_seconds", effective_view_threshold=3),
        {"watch_seconds": 3.0},
        (ENGAGED, 1.0),
    ),
    (
        "other flags",
        EngagementConfig(strong_flags=("clicked",), negative_flags=("shared",)),
        {"watch_seconds": 5.0, "duration_seconds": 5.0, "clicked": True, "disliked": True, "liked": True},
        (STRONG, 2.0),
    ),
    (
        "no flags",
        EngagementConfig(strong_flags=(), negative_flags=()),
        {"watch_seconds": 5.0, "duration_seconds": 5.0, "liked": True, "disliked": True},
        (ENGAGED, 1.0),
    ),
]


@pytest.mark.parametrize(
    ("config", "event", "due"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_policy(config: EngagementConfig, event: dict[str, Any], due: tuple[int, float]) -> None:
    feedback, strength = run(event, config)
    assert feedback == due[0]
    assert strength == pytest.approx(due[1], rel=1e-6)


def test_the_items_duration_stands_in() -> None:
    assert run({"watch_seconds": 5.0}, RATIO, item_duration=10.0) == (ENGAGED, 0.5)
    assert run({"watch_seconds": 5.0, "duration_seconds": 20.0}, RATIO, item_duration=5.0) == (EXPOSED, 0.0)


def test_sorted_by_user_time_position_item() -> None:
    keys = [("b", 5, 0, "i"), ("a", 7, None, "i"), ("a", 7, 1, "k"), ("a", 7, 1, "j"), ("a", 3, 9, "i")]
    rows = [
        {"user_id": u, "timestamp": t, "position": p, "item_id": i, "watch_seconds": 1.0}
        for u, t, p, i in keys
    ]
    items = pa.Table.from_pylist([{"item_id": i, "category": "c"} for i in "ijk"], schema=ITEMS)
    table = label(pa.Table.from_pylist(rows, schema=EVENTS), items, RATIO)
    found = list(
        zip(
            table["user_id"].to_pylist(),
            table["position"].to_pylist(),
            table["item_id"].to_pylist(),
            strict=True,
        )
    )
    assert found == [("a", 9, "i"), ("a", 1, "j"), ("a", 1, "k"), ("a", None, "i"), ("b", 0, "i")]
