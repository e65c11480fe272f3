"""What is logged of an error that nobody foresaw: where it happened. Its text may be a client's."""

import logging
import traceback

FRAMES = 8
"""Innermost ones, which are named."""

logger = logging.getLogger("higr.serving")


def log_failure(error: BaseException) -> None:
    """One line: the type of the error and the places it came through, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    places = " ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
    logger.error("event=request_failed error=%s at=%r", type(error).__name__, places)
