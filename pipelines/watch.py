"""Draws a running pipeline from the events of its stages."""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.progress import TimeRemainingColumn as Remaining

from components.events import Event, Tail
from pipelines.graph import STAGES, Graph, ancestors

POLL = 0.2
PLAIN_EVERY = 30.0
"""Seconds between two progress lines where no bar can be drawn, at least."""


class Watcher:
    """Use as a context manager around the run.

    One line a stage as it starts and one as it ends; in between a bar on a terminal, a line now and then
    elsewhere. A stage of which no event came, though a later one started, was in the cache.

    Attributes:
        reports: HTML pages of stages of this run, as they become ready.
    """

    def __init__(self, events: Path, console: Console, graph: Graph = STAGES) -> None:
        self._graph = graph
        self.reports: dict[str, Path] = {}
        self._tail = Tail(events)
        self._console = console
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Elapsed(),
            Remaining(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            redirect_stdout=False,  # KFP's own output is redirected at the same time
            redirect_stderr=False,
        )
        self._bar: TaskID | None = None
        self._last: dict[str, Event] = {}
        self._told: set[str] = set()
        self._printed = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    @property
    def ran(self) -> frozenset[str]:
        """Stages that ran now."""
        return frozenset(self._last)

    def last(self, stage: str) -> Event | None:
        """What came last of a stage that ran now."""
        return self._last.get(stage)

    def failure(self) -> tuple[str, bool]:
        """Which stage failed and why, in one line; and whether it was the user's to mend."""
        for name, event in self._last.items():
            if event.kind in {"failed", "crashed"}:
                return f"{name}: {event.text}", event.kind == "failed"
            if event.kind != "finished":
                return f"{name}: killed, as when memory runs out", False
        return "a stage could not start", False

    def __enter__(self) -> Self:
        self._bars.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None:
            self._tell_cached(list(self._graph))

    def stop(self) -> None:
        """Take in what has come, and draw no more."""
        self._ended.set()
        self._thread.join()
        self._bars.stop()

    def _follow(self) -> None:
        while not self._ended.wait(POLL):
            self._take()
        self._take()

    def _take(self) -> None:
        for event in self._tail():
            getattr(self, f"_{event.kind}")(event)

    def _started(self, event: Event) -> None:
        before = ancestors(event.stage, self._graph)
        self._tell_cached([name for name in self._graph if name in before])
        self._last[event.stage] = event
        self._printed = time.monotonic()
        self._line(f"  {self._graph[event.stage].title} ...")
        self._bar = self._bars.add_task(event.stage, total=None)

    def _progress(self, event: Event) -> None:
        self._last[event.stage] = event
        if self._bar is not None:
            self._bars.update(
                self._bar,
                description=f"{event.stage}: {event.label}" if event.label != event.stage else event.stage,
                completed=event.done,
                total=event.total,
            )
        now = time.monotonic()
        if not self._console.is_terminal and now - self._printed >= PLAIN_EVERY:
            self._printed = now
            self._line(f"    {event.label}: {event.done} of {event.total}")

    def _report(self, event: Event) -> None:
        self.reports[event.stage] = Path(event.text)

    def _finished(self, event: Event) -> None:
        self._end(event, f"✓ {self._graph[event.stage].title} ({event.seconds:.1f} s)")

    def _failed(self, event: Event) -> None:
        self._end(event, f"✗ {self._graph[event.stage].title} ({event.seconds:.1f} s)")

    def _crashed(self, event: Event) -> None:
        self._failed(event)

    def _end(self, event: Event, line: str) -> None:
        self._last[event.stage] = event
        self._told.add(event.stage)
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None
        self._line(line)

    def _tell_cached(self, names: list[str]) -> None:
        for name in names:
            # What is never cached did not run: its condition did not hold.
            if name not in self._last and name not in self._told and self._graph[name].cached:
                self._told.add(name)
                self._line(f"✓ {self._graph[name].title} (from the cache)")

    def _line(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
