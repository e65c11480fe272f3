"""The serving metrics of `higr.metrics` as Prometheus collectors."""

from collections.abc import Callable

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from higr import metrics as names
from serving.switch import POSITIONS

SERVING = (
    names.SLATES,
    names.REJECTED,
    names.REQUEST_SECONDS,
    names.STEP_SECONDS,
    names.DEGRADED,
    names.LOG_FAILURES,
    names.SWITCH,
    names.SWITCH_ERRORS,
    names.BUNDLE,
)
"""What every serving process exposes, whatever its role."""


class Metrics:
    """One collector a metric, registered where KServe's `/metrics` looks (the default registry)."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        disable_created_metrics()  # a gauge beside every counter that nobody asked for
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in SERVING:
            self._register(metric, registry)

    def count(self, metric: names.Metric, *labels: str) -> None:
        counter = self._counters[metric.name]
        (counter.labels(*labels) if labels else counter).inc()

    def observe(self, metric: names.Metric, seconds: float, *labels: str) -> None:
        self._histograms[metric.name].labels(*labels).observe(seconds)

    def show_bundle(self, version: str) -> None:
        self._gauges[names.BUNDLE.name].labels(version).set(1)

    def show_switch(self, position: Callable[[], str]) -> None:
        """Looks at the switch when scraped, so that a move shows without any request."""
        for label in POSITIONS:
            self._gauges[names.SWITCH.name].labels(label).set_function(_is_at(position, label))

    def _register(self, metric: names.Metric, registry: CollectorRegistry) -> None:
        given = (metric.name, metric.help, metric.labels)
        if metric.kind == "counter":
            self._counters[metric.name] = Counter(*given, registry=registry)
        elif metric.kind == "gauge":
            self._gauges[metric.name] = Gauge(*given, registry=registry)
        else:
            self._histograms[metric.name] = Histogram(*given, registry=registry, buckets=metric.buckets)


def _is_at(position: Callable[[], str], label: str) -> Callable[[], float]:
    return lambda: float(position() == label)
