"""The serving metrics of `higr.metrics` as Prometheus collectors."""

from collections import Counter as Counted
from collections.abc import Callable, Iterator

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from higr import metrics as names
from higr.decode.batcher import BatcherStats
from serving.breaker import STATES
from serving.switch import POSITIONS

SERVING = (
    names.SLATES,
    names.REJECTED,
    names.REQUEST_SECONDS,
    names.RESPONSES,
    names.SHORT,
    names.STEP_SECONDS,
    names.CATEGORY_DIVERSITY,
    names.PREFIX_SHARE,
    names.DEGRADED,
    names.LOG_FAILURES,
    names.LOG_DROPPED,
    names.FEEDBACK_EVENTS,
    names.PUSHED_EVENTS,
    names.FEATURE_FAILURES,
    names.SWITCH,
    names.SWITCH_ERRORS,
    names.BREAKER,
    names.POLICY_ERRORS,
    names.POLICY_EXPIRED,
    names.TOKEN_ERRORS,
    names.BUNDLE,
    names.BUNDLE_ERRORS,
)
"""What every serving process exposes, whatever its role."""

DECODING = (names.BATCHES, names.BATCHED, names.NOT_DECODED, names.IN_FLIGHT, names.WAITING)
"""What a process that decodes exposes beside them."""

STARTING: tuple[tuple[names.Metric, tuple[str, ...]], ...] = (
    *((names.SHORT, (length,)) for length in ("short", "empty")),
    *((names.FEEDBACK_EVENTS, (outcome,)) for outcome in ("accepted", "repeated", "refused")),
    *((names.PUSHED_EVENTS, (outcome,)) for outcome in ("pushed", "passed_over", "dropped")),
    *((names.FEATURE_FAILURES, (work,)) for work in ("push", "item_status")),
    *((names.RESPONSES, ("slates", status)) for status in ("2xx", "4xx", "5xx")),
)
"""Counts that are there from the beginning, as 0: a rule sees the first one as an increase."""


class Metrics:
    """One collector a metric, registered where KServe's `/metrics` looks (the default registry)."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
        disable_created_metrics()  # a gauge beside every counter that nobody asked for
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._decoding: _Decoding | None = None
        self._bundle: str | None = None
        for metric in SERVING:
            self._register(metric, registry)
        for metric, labels in STARTING:
            self._counters[metric.name].labels(*labels)

    def count(self, metric: names.Metric, *labels: str, times: int = 1) -> None:
        counter = self._counters[metric.name]
        (counter.labels(*labels) if labels else counter).inc(times)

    def observe(self, metric: names.Metric, value: float, *labels: str) -> None:
        self._histograms[metric.name].labels(*labels).observe(value)

    def show_bundle(self, version: str) -> None:
        """In place of the one before, which is 0 from now on."""
        gauge = self._gauges[names.BUNDLE.name]
        if self._bundle is not None:
            gauge.labels(self._bundle).set(0)
        gauge.labels(version).set(1)
        self._bundle = version

    def show_switch(self, position: Callable[[], str]) -> None:
        """Looks at the switch when scraped, so that a move shows without any request."""
        for label in POSITIONS:
            self._gauges[names.SWITCH.name].labels(label).set_function(_is_at(position, label))

    def show_breaker(self, state: Callable[[], str]) -> None:
        """Looks at the breaker when scraped."""
        for label in STATES:
            self._gauges[names.BREAKER.name].labels(label).set_function(_is_at(state, label))

    def show_policy(self, expired: Callable[[], bool]) -> None:
        """Looks at the policy when scraped."""
        self._gauges[names.POLICY_EXPIRED.name].set_function(lambda: float(expired()))

    def show_decoding(self, stats: Callable[[], BatcherStats]) -> None:
        """Looks at the batcher's own counts when scraped; those of another batcher take their place."""
        if self._decoding is not None:
            self._registry.unregister(self._decoding)
        self._decoding = _Decoding(stats)
        self._registry.register(self._decoding)

    def _register(self, metric: names.Metric, registry: CollectorRegistry) -> None:
        given = (metric.name, metric.help, metric.labels)
        if metric.kind == "counter":
            self._counters[metric.name] = Counter(*given, registry=registry)
        elif metric.kind == "gauge":
            self._gauges[metric.name] = Gauge(*given, registry=registry)
        else:
            self._histograms[metric.name] = Histogram(*given, registry=registry, buckets=metric.buckets)


class _Decoding(Collector):
    def __init__(self, stats: Callable[[], BatcherStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Family]:
        stats = self._stats()
        yield CounterMetricFamily(names.BATCHES.name, names.BATCHES.help, stats.batches)
        yield CounterMetricFamily(names.BATCHED.name, names.BATCHED.help, stats.rows)
        yield GaugeMetricFamily(names.IN_FLIGHT.name, names.IN_FLIGHT.help, stats.in_flight)
        yield GaugeMetricFamily(names.WAITING.name, names.WAITING.help, stats.waiting)
        given_up = CounterMetricFamily(
            names.NOT_DECODED.name, names.NOT_DECODED.help, labels=names.NOT_DECODED.labels
        )
        for reason, count in (Counted(stats.refused) + Counted(stats.shed)).items():
            given_up.add_metric((reason,), count)
        yield given_up

    def describe(self) -> Iterator[Family]:
        return self.collect()


def _is_at(position: Callable[[], str], label: str) -> Callable[[], float]:
    return lambda: float(position() == label)
