"""What the logs hold of a user: as it is, a keyed hash, or nothing."""

import hmac
from collections.abc import Collection
from pathlib import Path
from typing import Any

from higr.errors import InputError
from serving.schemas import FeedbackEvent

LEAST_KEY_BYTES = 16


class Redaction:
    """The same for both logs, so that they join by user as well as by request.

    Args:
        columns: of the logs that are not to be held as they are; unknown ones are in neither.
        key: of the hash of user_id; None: every request is of a user of its own.
    """

    def __init__(self, columns: Collection[str] = (), key: bytes | None = None) -> None:
        self._user, self._key = "user_id" in columns, key
        self._empty = frozenset(columns) - {"user_id"}

    @classmethod
    def of(cls, columns: Collection[str], key_file: Path | None) -> "Redaction":
        """Raises:
        InputError: the key cannot be read or is too short.
        """
        if key_file is None:
            return cls(columns)
        try:
            key = key_file.read_bytes().strip()
        except OSError as error:
            raise InputError(
                f"logs.key_file {key_file}: {error.strerror}; give one that can be read"
            ) from None
        if len(key) < LEAST_KEY_BYTES:
            raise InputError(
                f"logs.key_file {key_file}: {len(key)} bytes, {LEAST_KEY_BYTES} are the least; "
                "make one with `openssl rand -hex 32`"
            )
        return cls(columns, key)

    def prediction(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of `higr.data.logs.PREDICTIONS` as it may be kept."""
        changed = dict.fromkeys(self._empty & row.keys())
        if self._user:
            changed["user_id"] = self._name(row["user_id"], "request", row["request_id"])
        return {**row, **changed}

    def feedback(self, event: FeedbackEvent) -> FeedbackEvent:
        """An event as it may be kept."""
        changed: dict[str, str | None] = dict.fromkeys(self._empty & FeedbackEvent.model_fields.keys())
        if self._user:
            of = ("event", event.event_id) if event.request_id is None else ("request", event.request_id)
            changed["user_id"] = self._name(event.user_id, *of)
        return event.model_copy(update=changed) if changed else event

    def _name(self, user_id: str, what: str, identity: str) -> str:
        """HMAC-SHA256 of the id, its first 32 hex digits; else what stands for a user of this alone."""
        if self._key is None:
            return f"{what}:{identity}"
        return hmac.digest(self._key, user_id.encode(errors="surrogatepass"), "sha256").hex()[:32]
