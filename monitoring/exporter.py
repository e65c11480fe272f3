"""A drift result as Prometheus metrics, named by `higr.metrics`."""

import logging
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest, start_http_server, write_to_textfile
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from higr.errors import HigrError
from higr.metrics import DRIFT_PSI, DRIFT_ROWS, DRIFT_RUN, DRIFT_VERDICT, Metric
from monitoring.result import VERDICTS, DriftResult

log = logging.getLogger(__name__)


def families(result: DriftResult) -> list[GaugeMetricFamily]:
    """A column without data has no `higr_drift_psi`; the verdict says so instead."""
    psi, verdict, rows, run = (_family(m) for m in (DRIFT_PSI, DRIFT_VERDICT, DRIFT_ROWS, DRIFT_RUN))
    for column in sorted(result.columns, key=lambda c: c.column):
        if column.psi is not None:
            psi.add_metric((column.column,), column.psi)
    for name in VERDICTS:
        verdict.add_metric((name,), float(name == result.verdict))
    for window, summary in (("reference", result.reference), ("current", result.current)):
        for table, count in sorted(summary.rows.items()):
            rows.add_metric((window, table), count)
    run.add_metric((), result.finished_at.timestamp())
    return [psi, verdict, rows, run]


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


class ResultCollector(Collector):
    """Reads the result file at every scrape, so a new run shows without a restart.

    Without a readable file there are no metrics, for an alert on absence to catch; the exporter stays up.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def collect(self) -> Iterable[GaugeMetricFamily]:
        try:
            return families(DriftResult.load(self.path))
        except (HigrError, OSError) as error:
            log.warning("drift result not exported: %s", error)
            return []


def registry(path: Path) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(ResultCollector(path))
    return registry


def exposition(path: Path) -> str:
    """The metrics of the result at `path` in Prometheus' text format."""
    return generate_latest(registry(path)).decode()


def write_textfile(path: Path, result: Path) -> None:
    """For node-exporter's textfile collector; written aside and renamed."""
    write_to_textfile(str(path), registry(result))


def serve(path: Path, port: int, address: str = "0.0.0.0") -> None:
    """Answer scrapes until the process ends."""
    _, thread = start_http_server(port, address, registry(path))
    thread.join()
