"""`monitoring.received` as Prometheus metrics, named by `higr.metrics`."""

import threading
import time
from collections.abc import Iterator

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
    """What has been counted when it is scraped, all of one reading of the logs.

    Args:
        lock: held by who reads the logs.
    """

    def __init__(self, received: Received, lock: threading.Lock) -> None:
        self._received, self._lock = received, lock

    def collect(self) -> Iterator[Metric]:
        received = self._received
        with self._lock:
            tallies = {version: vars(tally).copy() for version, tally in sorted(received.tallies.items())}
            fates, settled = dict(received.fates), received.settled_until
        for metric, attribute in BY_VERSION.items():
            family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for version, tally in tallies.items():
                family.add_metric((version,), tally[attribute])
            yield family
        events = CounterMetricFamily(
            names.OUTCOME_FEEDBACK.name, names.OUTCOME_FEEDBACK.help, labels=names.OUTCOME_FEEDBACK.labels
        )
        for fate, count in sorted(fates.items()):
            events.add_metric((fate,), count)
        yield events
        yield GaugeMetricFamily(names.OUTCOME_SETTLED.name, names.OUTCOME_SETTLED.help, settled)


def serve(received: Received, every: float, port: int, address: str = "0.0.0.0") -> None:
    """Answer scrapes, and read the logs every so many seconds, until the process ends."""
    lock, registry = threading.Lock(), CollectorRegistry()
    registry.register(ReceivedCollector(received, lock))
    start_http_server(port, address, registry)
    while True:
        with lock:
            received.read(time.time())
        time.sleep(every)
