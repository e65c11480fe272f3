"""What an exposure meant: feedback level and strength, by the policy of `EngagementConfig`."""

from functools import reduce
from operator import or_
from typing import Any

import ibis
import pyarrow as pa

from higr.config import EngagementConfig
from higr.data.engine import collect, relation
from higr.data.schemas import EVENTS, LABELLED_EVENTS, Feedback
from higr.errors import InputError

FLAGS = tuple(field.name for field in EVENTS if pa.types.is_boolean(field.type))
LEAST_STRENGTH = 0.1
"""Strength of an engaged event is no less, or one that was clicked but hardly watched would weigh
nothing in graded metrics; not reported by the paper."""

SIGNAL_COLUMN = {"watch_ratio": "watch_seconds"}


def label(events: pa.Table, items: pa.Table, config: EngagementConfig) -> pa.Table:
    """Checked events as `LABELLED_EVENTS`, sorted.

    Raises:
        InputError: an unknown flag is configured, or no event carries the configured signal.
    """
    for option in ("strong_flags", "negative_flags"):
        unknown = set(getattr(config, option)) - set(FLAGS)
        if unknown:
            raise InputError(
                f"data.engagement.{option}: {', '.join(sorted(unknown))} is no flag; "
                f"flags are {', '.join(FLAGS)}"
            )
    column = SIGNAL_COLUMN.get(config.effective_view, config.effective_view)
    if events[column].null_count == events.num_rows:
        raise InputError(
            f"events: none of {events.num_rows} rows has {column}, which data.engagement.effective_view: "
            f"{config.effective_view} needs; choose another signal or supply the column"
        )
    durations = items.select(["item_id", "duration_seconds"])
    expression = labelled(relation(events), relation(durations), config)
    return collect(expression.order_by(["user_id", "timestamp", "position", "item_id"]), LABELLED_EVENTS)


def labelled(events: Any, durations: Any, config: EngagementConfig) -> Any:
    """Ibis events with `feedback` and `strength`.

    Engaged: the configured signal is set or reaches its threshold. Strong: engaged and a strong flag.
    Negative: a negative flag, whatever else. Strength of an engaged event: watch ratio, clipped, or 1
    where there is none, plus `flag_strength` a strong flag, and at least `LEAST_STRENGTH`; not reported
    by the paper, which orders by dwell time alone.

    durations: (item_id, duration_seconds), used where an event has no duration of its own.
    """
    known = durations.select(item_key=durations.item_id, item_duration=durations.duration_seconds)
    joined = events.left_join(known, events.item_id == known.item_key)
    duration = ibis.coalesce(joined.duration_seconds, joined.item_duration)
    # Engines divide floats in one precision or the other; so said, all round the same.
    quotient = (joined.watch_seconds.cast("float64") / duration.cast("float64")).cast("float32")
    ratio = ibis.ifelse(duration > 0, quotient, ibis.null("float32"))
    engaged, strong, negative = (
        _engaged(joined, ratio, config),
        _any(joined, config.strong_flags),
        _any(joined, config.negative_flags),
    )
    flags = sum((_flag(joined, name).cast("int8") for name in config.strong_flags), start=ibis.literal(0))
    # Not least(): it passes over a null and would turn "no watch signal" into the highest ratio.
    highest = ibis.literal(config.max_watch_ratio, "float32")
    clipped = ibis.ifelse(ratio > highest, highest, ratio)
    total = ibis.coalesce(clipped, ibis.literal(1.0, "float32")) + config.flag_strength * flags
    strength = ibis.ifelse(total < LEAST_STRENGTH, LEAST_STRENGTH, total)
    return joined.mutate(
        feedback=ibis.cases(
            (negative, int(Feedback.NEGATIVE)),
            (engaged & strong, int(Feedback.STRONG)),
            (engaged, int(Feedback.ENGAGED)),
            else_=int(Feedback.EXPOSED),
        ).cast("int8"),
        strength=ibis.ifelse(engaged & ~negative, strength, 0.0).cast("float32"),
    ).select(LABELLED_EVENTS.names)


def _engaged(joined: Any, ratio: Any, config: EngagementConfig) -> Any:
    if config.effective_view in FLAGS:
        return _flag(joined, config.effective_view)
    value = ratio if config.effective_view == "watch_ratio" else joined[config.effective_view]
    return ibis.coalesce(value >= config.effective_view_threshold, False)


def _flag(joined: Any, name: str) -> Any:
    return ibis.coalesce(joined[name], False)


def _any(joined: Any, names: tuple[str, ...]) -> Any:
    return reduce(or_, (_flag(joined, name) for name in names), ibis.literal(False))
