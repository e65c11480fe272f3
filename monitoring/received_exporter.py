"""`monitoring.received` as Prometheus metrics, named by `higr.metrics`."""

import time

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from higr import metrics as names
from monitoring.received import Received

BY_VERSION = {
    names.OUTCOME_SLATES: "slates",
    names.OUTCOME_VIEWS: "views",
    names.OUTCOME_VIEWS_SQUARES: "views_squares",
    names.OUTCOME_WATCH: "watch",
    names.OUTCOME_WATCH_SQUARES: "watch_squares",
}


class ReceivedCollector(Collector):
    """What the last whole reading of the logs has counted: a scrape never waits for one, nor sees half of
    it."""

    def __init__(self, received: Received) -> None:
        self._received = received
        self._shown = families(received)

    def read(self, now: float) -> None:
        """Read the logs, then show what they say."""
        self._received.read(now)
        self._shown = families(self._received)

    def collect(self) -> list[Metric]:
        return self._shown


def families(received: Received) -> list[Metric]:
    """What has been counted so far."""
    shown: list[Metric] = []
    for metric, attribute in BY_VERSION.items():
        family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for version, tally in sorted(received.tallies.items()):
            family.add_metric((version,), getattr(tally, attribute))
        shown.append(family)
    events = names.OUTCOME_FEEDBACK
    fates = CounterMetricFamily(events.name, events.help, labels=events.labels)
    for fate, count in sorted(received.fates.items()):
        fates.add_metric((fate,), count)
    settled = names.OUTCOME_SETTLED
    return [*shown, fates, GaugeMetricFamily(settled.name, settled.help, received.settled_until)]


def serve(received: Received, every: float, port: int, address: str = "0.0.0.0") -> None:
    """Answer scrapes, and read the logs every so many seconds, until the process ends."""
    collector, registry = ReceivedCollector(received), CollectorRegistry()
    registry.register(collector)
    start_http_server(port, address, registry)
    while True:
        collector.read(time.time())
        time.sleep(every)
