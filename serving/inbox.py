"""What many hand over and one thread takes: bounded, and handing over never waits."""

import threading
import time
from collections import deque
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Inbox(Generic[Thing]):
    """First in, first out.

    Args:
        most: things that wait at most.
    """

    def __init__(self, most: int) -> None:
        self.most, self._closed = most, False
        self._things: deque[Thing] = deque()
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        return self._closed

    def put(self, thing: Thing) -> bool:
        """False, and it is not taken, where too many wait or the inbox is closed."""
        with self._changed:
            if self._closed or len(self._things) >= self.most:
                return False
            self._things.append(thing)
            self._changed.notify()
            return True

    def take(self, most: int, seconds: float | None = None) -> list[Thing]:
        """At most so many: as soon as there is one, nothing after `seconds`, what there is once closed.

        None of them where `most` is 0: then it is a pause that closing ends.
        """
        until = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while not self._closed and not (most and self._things):
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return []
                self._changed.wait(left)
            return [self._things.popleft() for _ in range(min(most, len(self._things)))]

    def close(self) -> None:
        """Nothing more is taken in; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
