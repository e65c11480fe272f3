"""What is known of a user, from Feast's online store.

The store is read in a thread of its own, so that one that hangs holds up neither the event loop
nor the decoder. Nothing here raises: what cannot be read is a reason.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from higr.slate import UserContext
from serving.breaker import Breaker, BreakerOpen
from serving.config import MaxAge
from serving.online import OnlineStore, Row

CONTEXT = ("context_item_ids", "context_feedback", "profile_json")
"""Features that a context is made of."""
OF_VIEW = {
    "user_context": "context_item_ids",
    "user_interests": "top_categories",
    "user_profile": "profile_json",
}
"""A feature of each view, which is read to know how old the view is."""

logger = logging.getLogger("higr.serving")


@dataclass(frozen=True, slots=True)
class Known:
    """A context, and why it is not the stored one: nothing, or a label of `higr_degraded_requests`."""

    context: UserContext
    degraded: str | None = None

    def at(self, situation: Mapping[str, str]) -> "Known":
        """The same in the situation of a request."""
        return Known(replace(self.context, situation=situation), self.degraded)


class Features(Protocol):
    """Where contexts come from when the request brings none."""

    async def read(self, user_ids: Sequence[str], seconds: float) -> list[Known]:
        """One a user, within `seconds`."""
        ...


class NoFeatures:
    """No store was given: every context is empty."""

    async def read(self, user_ids: Sequence[str], seconds: float) -> list[Known]:
        return [Known(UserContext(user_id), "no_store") for user_id in user_ids]


class FeastFeatures:
    """Online reads in this process, p50 under a millisecond.

    A store that cannot be opened now is tried again by the next read, so that a process may start
    before its features are there. One that keeps failing is not asked for two seconds: nobody waits for
    what will not come.

    Args:
        max_age: of what is read; what is older is used and said to be `stale`.
    """

    def __init__(self, folder: Path, max_age: MaxAge | None = None) -> None:
        self._store = OnlineStore(folder)
        limits = MaxAge() if max_age is None else max_age
        self._limits = {view: most for view, most in limits if most is not None}
        self._names = tuple(dict.fromkeys([*CONTEXT, *(OF_VIEW[view] for view in self._limits)]))
        self._breaker = Breaker()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="features")

    def warm_up(self) -> None:
        """Open the store and read once: importing Feast takes seconds, which no request should pay."""
        try:
            self._executor.submit(self._read, [""]).result()
        except Exception as error:
            logger.warning("event=features_unavailable error=%s", type(error).__name__)

    async def read(self, user_ids: Sequence[str], seconds: float) -> list[Known]:
        try:
            with self._breaker.attempt():
                work = asyncio.get_running_loop().run_in_executor(self._executor, self._read, list(user_ids))
                return await asyncio.wait_for(work, seconds)
        except TimeoutError:
            reason = "late"
        except BreakerOpen:
            reason = "store_failed"
        except Exception as error:
            # Any failure of the store is one reason to go on without it.
            logger.warning("event=features_failed error=%s", type(error).__name__)
            reason = "store_failed"
        return [Known(UserContext(user_id), reason) for user_id in user_ids]

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _read(self, user_ids: list[str]) -> list[Known]:
        now = datetime.now(UTC)
        rows = self._store.users(self._names, user_ids)
        return [self._known(user_id, row, now) for user_id, row in zip(user_ids, rows, strict=True)]

    def _known(self, user_id: str, row: Row, now: datetime) -> Known:
        item_ids, feedback, profile = (row.columns[name] for name in CONTEXT)
        profile = json.loads(profile) if profile else {}
        if item_ids is None or feedback is None:
            return Known(UserContext(user_id, profile=profile), "unknown_user")
        context = UserContext(user_id, tuple(item_ids), tuple(int(level) for level in feedback), profile)
        return Known(context, "stale" if self._is_stale(row, now) else None)

    def _is_stale(self, row: Row, now: datetime) -> bool:
        moments = ((row.moments[view], most) for view, most in self._limits.items())
        return any(moment is not None and (now - moment).total_seconds() > most for moment, most in moments)
