"""Items that the feature store says are disabled: what cannot wait for another bundle.

A thread looks them up, a few at a time, so that neither requests nor the store notice. Nobody waits for it.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from higr import metrics as names
from serving.metrics import Metrics
from serving.online import OnlineStore
from serving.schemas import MAX_DISABLED
from serving.served import Served

CHUNK = 100
"""Items that are looked up at once: a few milliseconds."""
PAUSE_SECONDS = 0.02
"""Between two lookups."""
CLOSING_SECONDS = 5.0
"""Longest wait for a lookup under way when the process ends."""

logger = logging.getLogger("higr.serving")


class ItemStatus:
    """Args:
    folder: the feature store.
    served: whose eligible items are looked up.
    seconds: between two looks at all of them.
    """

    def __init__(self, folder: Path, served: Callable[[], Served], seconds: float, metrics: Metrics) -> None:
        self._store = OnlineStore(folder)
        self._served, self._seconds, self._metrics = served, seconds, metrics
        self._disabled: frozenset[str] = frozenset()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="item-status", daemon=True)
        self._thread.start()

    @property
    def disabled(self) -> frozenset[str]:
        """As of the last whole look; none before the first."""
        return self._disabled

    def close(self) -> None:
        self._closing.set()
        self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        while True:
            try:
                found = self._look()
            except Exception as error:
                # What was disabled stays so.
                logger.warning("event=item_status_failed error=%s", type(error).__name__)
                self._metrics.count(names.FEATURE_FAILURES, "item_status")
            else:
                self._take(found)
            if self._closing.wait(self._seconds):
                return

    def _look(self) -> list[str]:
        items = self._served().shelf.eligible
        disabled: list[str] = []
        for start in range(0, len(items), CHUNK):
            chunk = items[start : start + CHUNK]
            statuses = self._store.statuses(chunk)
            disabled += [item for item, status in zip(chunk, statuses, strict=True) if status == "disabled"]
            if self._closing.wait(PAUSE_SECONDS):
                return list(self._disabled)
        return disabled

    def _take(self, found: list[str]) -> None:
        if len(found) > MAX_DISABLED:
            logger.error("event=too_many_disabled items=%d most=%d", len(found), MAX_DISABLED)
        disabled = frozenset(found[:MAX_DISABLED])
        if disabled != self._disabled:
            logger.warning("event=item_status_changed disabled=%d", len(disabled))
            self._disabled = disabled
