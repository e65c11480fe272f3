"""An event loop whose time is simulated: nothing waits, and every run of a test is the same."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from selectors import SelectorKey
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer when there is nothing to do.

    A function that is run in an executor is called at once, and done after the seconds that it sets as
    `busy`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.busy = 0.0
        real = self._selector.select

        def select(timeout: float | None) -> list[tuple[SelectorKey, int]]:
            if timeout is None:
                raise RuntimeError("nothing will ever happen")
            if timeout > 0:
                self.now = max(self.now, self._scheduled[0]._when)
            return real(0)

        self._selector.select = select

    def time(self) -> float:
        return self.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        future: asyncio.Future[T] = self.create_future()
        self.busy = 0.0
        try:
            result = func(*args)
        except Exception as error:
            self.call_later(self.busy, _settle, future, None, error)
        else:
            self.call_later(self.busy, _settle, future, result, None)
        return future


def _settle(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def simulate(scenario: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a scenario to its end."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(scenario(loop))
