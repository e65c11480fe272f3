"""The policy as its file is now."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from higr.errors import InputError
from serving.policy import Policy
from serving.policy_file import PolicyFile, read_policy
from serving.watched import WatchedFile

logger = logging.getLogger("higr.serving")


class LivePolicy:
    """Reads the file again whenever it has changed. One that cannot be taken leaves the policy as it was.

    Args:
        path: None: no rule.
        items, popular: of `Policy`.
        on_error: called once for each change that could not be taken.

    Raises:
        InputError: the file cannot be taken when the process starts.
    """

    def __init__(
        self,
        path: Path | None,
        items: pa.Table,
        popular: Sequence[str],
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        self._items, self._popular, self._on_error = items, popular, on_error
        self._file = None if path is None else WatchedFile(path)
        self._policy = self._read(PolicyFile() if path is None else read_policy(path))
        if self._file is not None:
            self._file.changed()

    @property
    def policy(self) -> Policy:
        if self._file is not None and self._file.changed():
            self._take(self._file.path)
        return self._policy

    def _take(self, path: Path) -> None:
        try:
            self._policy = self._read(read_policy(path))
        except InputError as error:
            logger.error("event=policy_unreadable error=%s", error)
            self._on_error()
            return
        logger.warning("event=policy_changed rules=%d", len(self._policy.file.rules))

    def _read(self, file: PolicyFile) -> Policy:
        return Policy(file, self._items, self._popular)
