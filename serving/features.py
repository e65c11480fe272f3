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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from higr.errors import InputError
from higr.slate import UserContext

if TYPE_CHECKING:
    from feast import FeatureStore

SERVICE = "user_context_v1"
"""Feature service that `feature_repo` defines; a change of its columns is a new version."""

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
    """Online reads through the Feast SDK in this process (p50 under a millisecond on SQLite).

    A store that cannot be opened now is tried again by the next read, so that a process may start
    before its features are there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store: FeatureStore | None = None
        self._service: Any = None
        self._opened = 0
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="features")

    def warm_up(self) -> None:
        """Open the store and read once: importing Feast takes seconds, which no request should pay."""
        try:
            self._executor.submit(self._read, [""]).result()
        except Exception as error:
            logger.warning("event=features_unavailable error=%s", type(error).__name__)

    async def read(self, user_ids: Sequence[str], seconds: float) -> list[Known]:
        work = asyncio.get_running_loop().run_in_executor(self._executor, self._read, list(user_ids))
        try:
            return await asyncio.wait_for(work, seconds)
        except TimeoutError:
            reason = "late"
        except Exception as error:
            # Any failure of the store is one reason to go on without it.
            logger.warning("event=features_failed error=%s", type(error).__name__)
            reason = "store_failed"
        return [Known(UserContext(user_id), reason) for user_id in user_ids]

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _open(self) -> "FeatureStore":
        """Opened once, and again when `materialise` has put another store in its place."""
        try:
            found = (self._folder / "online.db").stat().st_ino
        except OSError:
            raise InputError(
                f"{self._folder} is no feature store; run `python -m feature_repo materialise`"
            ) from None
        if self._store is None or found != self._opened:
            from feast import FeatureStore

            store = FeatureStore(repo_path=str(self._folder))
            self._service = store.get_feature_service(SERVICE)
            self._store, self._opened = store, found
        return self._store

    def _read(self, user_ids: list[str]) -> list[Known]:
        columns = (
            self._open()
            .get_online_features(
                features=self._service, entity_rows=[{"user_id": user_id} for user_id in user_ids]
            )
            .to_dict()
        )
        return [_known(user_id, row, columns) for row, user_id in enumerate(user_ids)]


def _known(user_id: str, row: int, columns: Mapping[str, Sequence[Any]]) -> Known:
    item_ids = columns["context_item_ids"][row]
    feedback = columns["context_feedback"][row]
    profile = columns["profile_json"][row]
    if item_ids is None or feedback is None:
        return Known(UserContext(user_id), "unknown_user")
    return Known(
        UserContext(
            user_id,
            tuple(item_ids),
            tuple(int(level) for level in feedback),
            json.loads(profile) if profile else {},
        )
    )
