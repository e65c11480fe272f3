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


class LivePolicyFile:
    """Read again whenever it has changed. One that cannot be taken leaves the rules as they were.

    Args:
        path: None: no rule.
        on_error: called once for each change that could not be taken.

    Raises:
        InputError: the file cannot be taken when the process starts.
    """

    def __init__(self, path: Path | None, on_error: Callable[[], None] = lambda: None) -> None:
        self._on_error = on_error
        self._watched = None if path is None else WatchedFile(path)
        if self._watched is not None:
            self._watched.changed()  # before it is read: a change while it is read is seen later
        self._rules = PolicyFile() if path is None else read_policy(path)

    @property
    def rules(self) -> PolicyFile:
        """Another object whenever the file has changed."""
        if self._watched is not None and self._watched.changed():
            self._take(self._watched.path)
        return self._rules

    def _take(self, path: Path) -> None:
        try:
            self._rules = read_policy(path)
        except InputError as error:
            logger.error("event=policy_unreadable error=%s", error)
            self._on_error()
            return
        logger.warning("event=policy_changed rules=%d", len(self._rules.rules))


class LivePolicy:
    """The rules of a file read against the items of a bundle; items and popular are those of `Policy`."""

    def __init__(self, file: LivePolicyFile, items: pa.Table, popular: Sequence[str]) -> None:
        self._file, self._items, self._popular = file, items, popular
        self._policy = self._read(file.rules)

    @property
    def policy(self) -> Policy:
        rules = self._file.rules
        if rules is not self._policy.file:
            self._policy = self._read(rules)
        return self._policy

    def _read(self, rules: PolicyFile) -> Policy:
        return Policy(rules, self._items, self._popular)
