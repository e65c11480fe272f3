"""Both logs of a process: which requests are in them, what they hold of a user, and where they go."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from higr import metrics as names
from higr.data.logs import is_sampled
from serving.cloud_events import BATCH, CloudEvents
from serving.config import LogsConfig
from serving.feedback_log import FeedbackLog
from serving.metrics import Metrics
from serving.prediction_log import PredictionLog
from serving.redaction import Redaction


class RowSink(Protocol):
    """Takes rows of `higr.data.logs.PREDICTIONS` without waiting."""

    def append(self, row: dict[str, Any]) -> None: ...


class SampledSinks:
    """The share of requests that is logged, as it may be kept, to every sink.

    Args:
        share: of requests (`higr.data.logs.is_sampled`).
    """

    def __init__(self, sinks: Sequence[RowSink], share: float, redaction: Redaction) -> None:
        self._sinks, self._share, self._redaction = sinks, share, redaction

    def append(self, row: dict[str, Any]) -> None:
        if self._share < 1:
            if not is_sampled(row["request_id"], self._share):
                return
            row = {**row, "sample_share": self._share}
        kept = self._redaction.prediction(row)
        for sink in self._sinks:
            sink.append(kept)


@dataclass(frozen=True, slots=True)
class Logs:
    """Attributes:
    predictions: None where nothing is to be logged.
    feedback: None where there is no folder for it.
    """

    predictions: RowSink | None
    feedback: FeedbackLog | None


def open_logs(
    stack: ExitStack,
    config: LogsConfig,
    name: str,
    log_dir: Path | None,
    feedback_dir: Path | None,
    metrics: Metrics,
) -> Logs:
    """Open what is configured, to be closed with `stack`.

    Args:
        name: of the endpoint.

    Raises:
        InputError: a folder cannot be written to, or the key cannot be read.
    """
    redaction = Redaction.of(config.redact, config.key_file)
    sinks: list[RowSink] = []
    cloud = None
    if config.cloudevents_url is not None:
        cloud = CloudEvents(
            config.cloudevents_url,
            name,
            batch=BATCH if config.cloudevents_mode == "batch" else 1,
            on_failure=_failures(metrics, "cloudevents"),
            on_drop=_drops(metrics, "cloudevents"),
        )
        stack.callback(cloud.close)
        sinks.append(cloud)
    if log_dir is not None:
        log = PredictionLog(
            log_dir,
            rows=config.part_rows,
            seconds=config.part_seconds,
            keep_days=config.keep_days,
            on_failure=_failures(metrics, "predictions"),
            on_drop=_drops(metrics, "predictions"),
            on_write=lambda seconds: metrics.observe(names.STEP_SECONDS, seconds, "log"),
        )
        stack.callback(log.close)
        sinks.append(log)
    feedback = None
    if feedback_dir is not None:
        feedback = FeedbackLog(
            feedback_dir,
            on_failure=_failures(metrics, "feedback"),
            seconds=config.part_seconds,
            keep_days=config.keep_days,
            redaction=redaction,
            on_kept=None if cloud is None else cloud.received,
        )
        stack.callback(feedback.close)
    return Logs(SampledSinks(sinks, config.sample, redaction) if sinks else None, feedback)


def _failures(metrics: Metrics, sink: str) -> Callable[[], None]:
    metrics.count(names.LOG_FAILURES, sink, times=0)  # there from the start, so that the first one is a rise
    return lambda: metrics.count(names.LOG_FAILURES, sink)


def _drops(metrics: Metrics, sink: str) -> Callable[[int], None]:
    metrics.count(names.LOG_DROPPED, sink, times=0)
    return lambda rows: metrics.count(names.LOG_DROPPED, sink, times=rows)
