"""The frame around a component's one call: configuration in, figures, reports, progress and errors out."""

import logging
import math
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from components.events import Event, emit
from higr.config import RunConfig, parse_config
from higr.errors import HigrError
from higr.files import write_json

LOG_EVERY = 10.0
"""Seconds between two progress lines in the task's log, at least."""
EVENT_EVERY = 1.0

log = logging.getLogger("higr.components")


class Stage:
    """Use as a context manager; the stage's work is its body.

    A `HigrError` in the body, the parsing of the configuration included, ends the task with exit code 2 and
    its one line, the last in the task's log. Any other error keeps its trace: it is ours to mend, not the
    user's.

        with Stage("align", config) as stage:
            stage.record(stages.align(stage.config, ..., stage.progress), metrics, model)
    """

    def __init__(self, name: str, config: str = "") -> None:
        self.name = name
        self._text = config
        self._reports: list[tuple[Path, Path]] = []
        self._started = self._logged = self._emitted = -math.inf
        self._label = ""
        self._figures: dict[str, float | int | str] = {}

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        emit(Event(self.name, "started"))
        try:
            self.config: RunConfig = parse_config(self._text)
        except HigrError as error:
            self._fail(error)
        return self

    def progress(self, label: str, done: int, total: int) -> None:
        """A `higr.training.loop.Progress`: to the log now and then, to a watcher once a second."""
        now = time.monotonic()
        news = label != self._label or done == total
        self._label = label
        if news or now - self._emitted >= EVENT_EVERY:
            self._emitted = now
            emit(Event(self.name, "progress", label=label, done=done, total=total))
        if news or now - self._logged >= LOG_EVERY:
            self._logged = now
            log.info("%s: %s %d of %d", self.name, label, done, total)

    def publish(self, page: Path, artifact: str) -> None:
        """Copy an HTML page to its artifact when the stage ends, also when it ends in an error."""
        self._reports.append((page, Path(artifact)))

    def warn(self, line: str) -> None:
        """For a person; the task goes on."""
        log.warning("%s: %s", self.name, line)

    def record(self, figures: Mapping[str, float | int | str], metrics: Any, *artifacts: Any) -> None:
        """Figures where people look for them; what is not finite is left out.

        Numbers become `dsl.Metrics`; all of them become metadata of `artifacts`; and all of them with the
        stage's seconds are the content of the metrics artifact, as JSON.
        """
        # Neither JSON nor Kubeflow's metadata has a word for nan.
        known = {k: v for k, v in figures.items() if isinstance(v, str) or math.isfinite(v)}
        self._figures = known
        for name, value in known.items():
            if not isinstance(value, str):
                metrics.log_metric(name, value)
        for artifact in artifacts:
            artifact.metadata.update(known)
        content = {"seconds": round(time.monotonic() - self._started, 2), "figures": known}
        write_json(Path(metrics.path), content)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for page, artifact in self._reports:
            if page.is_file():
                artifact.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(page, artifact)
                emit(Event(self.name, "report", text=str(artifact)))
        if isinstance(error, HigrError):
            self._fail(error)
        elif error is not None:
            self._emit_end("crashed", f"{type(error).__name__}: {error}")
        else:
            self._emit_end("finished")

    def _fail(self, error: HigrError) -> None:
        self._emit_end("failed", str(error))
        sys.stderr.write(f"higr: {self.name}: {error}\n")
        raise SystemExit(2) from None

    def _emit_end(self, kind: Literal["finished", "failed", "crashed"], reason: str = "") -> None:
        seconds = time.monotonic() - self._started
        text = " ".join(reason.split())
        emit(Event(self.name, kind, seconds=seconds, text=text, figures=self._figures))
