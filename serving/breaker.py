"""The circuit breaker before the predictor: one that fails is not asked by everybody.

Closed, everybody asks. After so many failures in a row it is open: nobody asks for a while, and who would
have waited until the deadline has an answer of the baseline at once. Then one asks for all: if that is
answered the breaker closes, else it stays open for as long again.

Our own, because the libraries for asyncio measure the pause by the wall clock: one that is set back would
keep the breaker open.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

State = Literal["closed", "open", "probing"]
STATES: tuple[State, ...] = ("closed", "open", "probing")


class BreakerOpen(Exception):
    """Not asked."""


class Breaker:
    """Of one event loop.

    Args:
        failures: in a row that open it.
        seconds: for which it is open.
        clock: seconds that only ever grow.
    """

    def __init__(
        self, failures: int = 5, seconds: float = 2.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._clock = failures, seconds, clock
        self._failed = 0
        self._opened: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        if self._opened is None:
            return "closed"
        return "probing" if self._probing else "open"

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Around what may fail. An exception is a failure; being cancelled says nothing.

        Raises:
            BreakerOpen: it must not be tried now.
        """
        probe = self._opened is not None
        if self._opened is not None:
            if self._probing or self._clock() - self._opened < self._seconds:
                raise BreakerOpen
            self._probing = True
        try:
            yield
        except Exception:
            self._failed += 1
            if probe or self._failed >= self._most:
                self._opened = self._clock()
            raise
        else:
            if probe or self._opened is None:
                self._failed, self._opened = 0, None
        finally:
            if probe:
                self._probing = False
