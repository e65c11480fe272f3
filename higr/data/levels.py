"""The feedback level of one event, where events come one by one.

`higr.data.labels` says the same of a whole table; a test holds the two together. This module needs no
table engine, so that a serving process can use it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from higr.config import EngagementConfig
from higr.data.schemas import Feedback


def feedback_level(
    event: Mapping[str, Any], item_duration: float | None, config: EngagementConfig
) -> Feedback:
    """What an exposure meant.

    Args:
        event: fields of `EVENTS`; one that is absent is null.
        item_duration: seconds, used where the event has no duration of its own.
    """
    if any(event.get(name) for name in config.negative_flags):
        return Feedback.NEGATIVE
    if not _engaged(event, item_duration, config):
        return Feedback.EXPOSED
    strong = any(event.get(name) for name in config.strong_flags)
    return Feedback.STRONG if strong else Feedback.ENGAGED


def _engaged(event: Mapping[str, Any], item_duration: float | None, config: EngagementConfig) -> bool:
    signal = config.effective_view
    if signal in ("clicked", "long_view"):
        return bool(event.get(signal))
    value = _watch_ratio(event, item_duration) if signal == "watch_ratio" else event.get(signal)
    # The tables hold 32-bit floats: a value just below the threshold must not be above it here.
    return value is not None and bool(np.float32(value) >= config.effective_view_threshold)


def _watch_ratio(event: Mapping[str, Any], item_duration: float | None) -> np.float32 | None:
    watched, duration = event.get("watch_seconds"), event.get("duration_seconds")
    duration = item_duration if duration is None else duration
    if watched is None or duration is None or not np.float32(duration) > 0:
        return None
    with np.errstate(over="ignore"):
        return np.float32(watched) / np.float32(duration)
