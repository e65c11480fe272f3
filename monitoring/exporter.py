"""A drift result as Prometheus metrics, named by `higr.metrics`."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    generate_latest,
    push_to_gateway,
    start_http_server,
    write_to_textfile,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from higr.errors import HigrError
from higr.files import read_json
from higr.metrics import (
    DRIFT_ACT_FAILED,
    DRIFT_CAUSE,
    DRIFT_PIPELINE_STARTED,
    DRIFT_PSI,
    DRIFT_ROWS,
    DRIFT_RUN,
    DRIFT_SIGNAL,
    DRIFT_SIGNAL_EXPECTED,
    DRIFT_SIGNAL_SHIFT,
    DRIFT_SKIPPED,
    DRIFT_SWITCH_MOVED,
    DRIFT_SWITCH_MOVES,
    DRIFT_VERDICT,
    DRIFT_WINDOW_END,
    Metric,
)
from monitoring.act import Entry
from monitoring.result import CAUSES, VERDICTS, DriftResult

ACTED = "acted.json"
PUSH_JOB, PUSH_SECONDS = "higr_drift", 10.0
ACTIONS = ("switch", "pipeline")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Acted:
    """What the job has done so far, beside its result.

    Attributes:
        moved, moves: position to the Unix seconds of the last move to it, and to how many there were.
        pipeline: when one was last started, Unix seconds; 0: never.
        failed: what the last run should have done and could not: switch, pipeline.
    """

    moved: dict[str, float] = field(default_factory=dict)
    moves: dict[str, int] = field(default_factory=dict)
    pipeline: float = 0.0
    failed: tuple[str, ...] = ()

    @classmethod
    def of(cls, entries: list[Entry], failed: Iterable[str]) -> "Acted":
        moved: dict[str, float] = {}
        moves: dict[str, int] = {}
        pipeline = 0.0
        for entry in entries:
            if entry.to and entry.action in ("moved", "released"):
                moved[entry.to] = entry.at.timestamp()
                moves[entry.to] = moves.get(entry.to, 0) + 1
            if entry.action == "pipeline":
                pipeline = entry.at.timestamp()
        return cls(moved, moves, pipeline, tuple(failed))

    @classmethod
    def load(cls, path: Path) -> "Acted":
        """Nothing where nothing can be read: the result still counts."""
        try:
            found = read_json(path)
            return cls(found["moved"], found["moves"], found["pipeline"], tuple(found["failed"]))
        except (HigrError, KeyError, TypeError):
            return cls()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def families(result: DriftResult, acted: Acted = Acted()) -> list[GaugeMetricFamily]:
    """A column without data has no `higr_drift_psi`; the verdict says so instead."""
    psi, verdict, rows, run = (_family(m) for m in (DRIFT_PSI, DRIFT_VERDICT, DRIFT_ROWS, DRIFT_RUN))
    cause, now, expected, shift, skipped, end = (
        _family(m)
        for m in (
            DRIFT_CAUSE,
            DRIFT_SIGNAL,
            DRIFT_SIGNAL_EXPECTED,
            DRIFT_SIGNAL_SHIFT,
            DRIFT_SKIPPED,
            DRIFT_WINDOW_END,
        )
    )
    for signal in sorted(result.signals, key=lambda s: s.signal):
        now.add_metric((signal.signal,), signal.now)
        expected.add_metric((signal.signal,), signal.expected)
        shift.add_metric((signal.signal,), signal.shift)
    for known in CAUSES:
        cause.add_metric((known,), float(known == result.cause))
    for reason, count in sorted(result.current.skipped.items()):
        skipped.add_metric((reason,), count)
    if result.current.until:
        end.add_metric((), result.current.until.timestamp())
    for column in sorted(result.columns, key=lambda c: c.column):
        if column.psi is not None:
            psi.add_metric((column.column,), column.psi)
    for name in VERDICTS:
        verdict.add_metric((name,), float(name == result.verdict))
    for window, summary in (("reference", result.reference), ("current", result.current)):
        for table, count in sorted(summary.rows.items()):
            rows.add_metric((window, table), count)
    run.add_metric((), result.finished_at.timestamp())
    return [psi, verdict, cause, now, expected, shift, rows, skipped, run, end, *_actions(acted)]


def _actions(acted: Acted) -> list[GaugeMetricFamily]:
    moved, moves, pipeline, failed = (
        _family(m) for m in (DRIFT_SWITCH_MOVED, DRIFT_SWITCH_MOVES, DRIFT_PIPELINE_STARTED, DRIFT_ACT_FAILED)
    )
    for position, at in sorted(acted.moved.items()):
        moved.add_metric((position,), at)
        moves.add_metric((position,), acted.moves[position])
    if acted.pipeline:
        pipeline.add_metric((), acted.pipeline)
    for action in ACTIONS:
        failed.add_metric((action,), float(action in acted.failed))
    return [moved, moves, pipeline, failed]


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
            return families(DriftResult.load(self.path), Acted.load(self.path.with_name(ACTED)))
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


def push(result: Path, gateway: str) -> None:
    """To a Pushgateway, in place of what this job pushed before.

    gateway: host:port, or a URL.

    Raises:
        HigrError: it cannot be reached, or refuses.
    """
    try:
        push_to_gateway(gateway, PUSH_JOB, registry(result), timeout=PUSH_SECONDS)
    except OSError as error:  # urllib's errors are all of this kind
        raise HigrError(f"Pushgateway {gateway} did not take the metrics: {error}") from None


def serve(path: Path, port: int, address: str = "0.0.0.0") -> None:
    """Answer scrapes until the process ends."""
    _, thread = start_http_server(port, address, registry(path))
    thread.join()
