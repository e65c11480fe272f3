"""Contexts that take up feedback as it comes: what was shown and liked a second ago counts in the next slate.

Events are first on disk and acknowledged (`serving.feedback_log`); what happens here can neither delay nor
fail that. A thread reads what the store has of their users, adds the events as training would see them, and
pushes the rows. What fails is tried again; the next materialisation mends what was lost.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from higr import metrics as names
from higr.bundle import Bundle
from higr.config import DataConfig
from higr.data.recent import Recent, Seen
from higr.errors import InputError
from serving.metrics import Metrics
from serving.online import CONTEXT_VIEW, OnlineStore, Row
from serving.schemas import FeedbackEvent
from serving.served import Served

BATCH = 500
"""Events that are pushed at once."""
WAITING = 20_000
"""Events that may wait; of more the oldest are dropped."""
REMEMBERED = 5000
"""Events that are pushed again into a store that takes the place of another: it may know less."""
RETRY_SECONDS = 1.0
CLOSING_SECONDS = 5.0
"""Longest wait for what is under way when the process ends: a store that hangs must not keep it."""

logger = logging.getLogger("higr.serving")


@dataclass(frozen=True, slots=True)
class _Rules:
    """How the training of a bundle sees events.

    Attributes:
        durations: seconds, of every item of the bundle.
    """

    version: str
    config: DataConfig
    durations: Mapping[str, float | None]

    @classmethod
    def of(cls, bundle: Bundle) -> "_Rules":
        """Raises:
        InputError: the bundle does not say how its data were prepared.
        """
        try:
            config = DataConfig.model_validate(bundle.manifest.config["data"])
        except (KeyError, ValueError) as error:
            raise InputError(
                f"bundle {bundle.path}: no settings of data ({type(error).__name__}); build it again"
            ) from None
        items = bundle.items
        durations = zip(items["item_id"].to_pylist(), items["duration_seconds"].to_pylist(), strict=True)
        return cls(bundle.version, config, dict(durations))


class ContextPusher:
    """One process a user at a time: two that push events of one user at once may each miss the other's.

    Args:
        folder: the feature store; it must be writable if it is SQLite.
        served: the bundle in use; its settings say what counts as engagement and how far a context reaches.
    """

    def __init__(self, folder: Path, served: Callable[[], Served], metrics: Metrics) -> None:
        self._store = OnlineStore(folder, writes=True)
        self._served, self._metrics = served, metrics
        self._rules: _Rules | None = None
        self._waiting: deque[FeedbackEvent] = deque()
        self._pushed: deque[FeedbackEvent] = deque(maxlen=REMEMBERED)
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="push", daemon=True)
        self._thread.start()

    def offer(self, events: Sequence[FeedbackEvent]) -> None:
        """Returns at once and never fails. The same event again changes nothing."""
        with self._wake:
            self._waiting.extend(events)
            self._drop()
            self._wake.notify()

    def close(self) -> None:
        """Push what waits, once; what fails now is left to the next materialisation."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(CLOSING_SECONDS)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closing)
                events = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                if not events:
                    return
            try:
                self._push(events)
            except Exception as error:
                # Whatever the store does, the events stay and are tried again.
                logger.warning("event=push_failed error=%s", type(error).__name__)
                self._metrics.count(names.FEATURE_FAILURES, "push")
                with self._wake:
                    if self._closing:
                        return
                    self._waiting.extendleft(reversed(events))
                    self._drop()
                    self._wake.wait_for(lambda: self._closing, RETRY_SECONDS)

    def _drop(self) -> None:
        dropped = max(0, len(self._waiting) - WAITING)
        for _ in range(dropped):
            self._waiting.popleft()
        self._metrics.count(names.PUSHED_EVENTS, "dropped", times=dropped)

    def _push(self, events: Sequence[FeedbackEvent]) -> None:
        rules = self._current()
        again = [*self._pushed] if self._store.open() else []
        by_user: dict[str, list[Seen]] = {}
        for event in (*again, *events):
            seen = Seen.of(event.model_dump(), rules.durations, rules.config)
            if seen is not None:
                by_user.setdefault(event.user_id, []).append(seen)
        if by_user:
            users = list(by_user)
            stored = self._store.users(list(Recent().columns()), users)
            now = datetime.now(UTC)
            self._store.write_contexts(
                {
                    user: _context(row, by_user[user], rules.config, now)
                    for user, row in zip(users, stored, strict=True)
                }
            )
        self._pushed.extend(events)
        known = sum(event.item_id in rules.durations for event in events)
        self._metrics.count(names.PUSHED_EVENTS, "pushed", times=known)
        self._metrics.count(names.PUSHED_EVENTS, "passed_over", times=len(events) - known)

    def _current(self) -> _Rules:
        served = self._served()
        if self._rules is None or self._rules.version != served.version:
            if served.bundle is None:
                raise InputError("no bundle says how events are read")
            self._rules = _Rules.of(served.bundle)
        return self._rules


def _stored(row: Row) -> Recent:
    try:
        return Recent.of(row.columns)
    except (TypeError, ValueError) as error:
        # It would stand in the way of every event to come: the user begins anew.
        logger.error("event=context_unreadable error=%s", type(error).__name__)
        return Recent()


def _context(
    row: Row, events: Sequence[Seen], config: DataConfig, now: datetime
) -> tuple[datetime, dict[str, list[Any]]]:
    moment = row.moments[CONTEXT_VIEW]
    stored = Recent() if moment is None else _stored(row)
    # After the row in its place: Redis keeps the newest.
    after = now if moment is None else max(now, moment + timedelta(milliseconds=1))
    return after, stored.extended(events, config).columns()
