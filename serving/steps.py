"""How long the steps of one request take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from higr import metrics as names
from serving.metrics import Metrics
from serving.traces import span


class Steps:
    """Begins with the request.

    Args:
        metrics: sees every step too; None: nobody counts this request.

    Attributes:
        seconds: of each step that was taken, by its name in `higr_step_seconds`.
    """

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics, self._began = metrics, time.perf_counter()
        self.seconds: dict[str, float] = {}

    @property
    def passed(self) -> float:
        """Seconds since the request came."""
        return time.perf_counter() - self._began

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Around a step, however it ends; a span of the trace as well."""
        began = time.perf_counter()
        try:
            with span(name):
                yield
        finally:
            self.seconds[name] = time.perf_counter() - began
            if self._metrics is not None:
                self._metrics.observe(names.STEP_SECONDS, self.seconds[name], name)
