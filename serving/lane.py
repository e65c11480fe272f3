"""A thread for work that would hold up the event loop; who would wait too long there is told at once."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

WEIGHT = 0.1
"""Of the latest piece of work in the mean of what one takes."""


class Busy(Exception):
    """The work was not begun: what is before it will take longer than there is time."""


class Lane:
    """Work is done in order, a piece at a time. name: of the thread."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._waiting = 0  # pieces not done, the running ones too; some may be given up by who asked
        self._mean = 0.0  # seconds a piece

    async def run(self, work: Callable[[], T], pieces: int, seconds: float) -> T:
        """Wait for it for `seconds` at most.

        Args:
            pieces: of equal size that the work has.

        Raises:
            Busy: at once, where others are before it and all together would take longer.
            TimeoutError: it took longer. What has begun goes on in the thread.
            Exception: whatever `work` raises.
        """
        with self._lock:
            if self._waiting and (self._waiting + pieces) * self._mean > seconds:
                raise Busy
            self._waiting += pieces
        future = self._executor.submit(self._timed, work, pieces)
        future.add_done_callback(lambda _: self._done(pieces))
        return await asyncio.wait_for(asyncio.wrap_future(future), seconds)

    def wait(self, work: Callable[[], T]) -> T:
        """Now, from a thread that may wait."""
        future: Future[T] = self._executor.submit(work)
        return future.result()

    def close(self) -> None:
        """What has not begun is not done."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _timed(self, work: Callable[[], T], pieces: int) -> T:
        begun = time.perf_counter()
        try:
            return work()
        finally:
            took = (time.perf_counter() - begun) / pieces
            self._mean += WEIGHT * (took - self._mean) if self._mean else took

    def _done(self, pieces: int) -> None:
        with self._lock:
            self._waiting -= pieces
