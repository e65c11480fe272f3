"""How slates were received, as counters by bundle: both logs joined by request_id as they grow.

Feedback comes to any replica of either side of a rollout, and says no more of its slate than request_id.
Which bundle made the slate only the prediction log knows. So the counters are made here, where the two meet,
and not in serving.

A slate is counted once, when its time for feedback is over; one without feedback counts as not watched. Sums
of squares go with the sums, so that who reads them has a variance. What is not counted yet is lost with the
process, and slates served before it started are left out: nothing is counted twice.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from higr.bundle import Bundle
from higr.data.engine import collect, relation
from higr.data.labels import labelled
from higr.data.logs import FEEDBACK, PREDICTIONS
from higr.data.schemas import EVENTS, LABELLED_EVENTS, Feedback
from higr.errors import InputError
from monitoring.columns import milliseconds
from monitoring.parts import batches
from monitoring.windows import engagement_of, not_a_length

log = logging.getLogger(__name__)

SLATE_COLUMNS = frozenset({"request_id", "timestamp", "model_version", "item_ids"})
REQUIRED = ("request_id", *(column.name for column in FEEDBACK if not column.nullable))
"""Columns without which feedback belongs to nothing."""
PIECE_ROWS = 200_000
REMEMBERED = 4.0
"""Times `settle` for which a slate is known that was counted: more feedback on it is late, not unknown."""


@dataclass
class Tally:
    """Of one bundle's slates.

    Attributes:
        slates: counted.
        views, views_squares: sums of the share of a slate's items that was effectively viewed.
        watch, watch_squares: sums of the seconds that a slate was watched.
    """

    slates: int = 0
    views: float = 0.0
    views_squares: float = 0.0
    watch: float = 0.0
    watch_squares: float = 0.0


@dataclass
class _Slate:
    """One that waits, or of which only feedback has come: then it has no version."""

    at: float
    version: str = ""
    items: frozenset[str] = frozenset()
    watched: dict[str, float] = field(default_factory=dict)
    viewed: set[str] = field(default_factory=set)
    events: int = 0
    untold: int = 0


class Received:
    """Follows any number of folders of either log.

    Args:
        bundle: whose engagement policy says what an effective view is, and whose items have durations.
        settle: seconds that a slate's feedback is waited for.
        started: Unix seconds; slates served before are left out.
    """

    def __init__(
        self,
        bundle: Bundle,
        predictions: Sequence[Path],
        feedback: Sequence[Path],
        settle: float,
        started: float,
    ) -> None:
        for folder in (*predictions, *feedback):
            if not folder.is_dir():
                raise InputError(
                    f"log directory {folder} does not exist; "
                    "give the directory that serving writes its log to"
                )
        self._engagement = engagement_of(bundle)
        self._durations = bundle.items.select(["item_id", "duration_seconds"])
        timed = self._durations.filter(pc.is_valid(self._durations["duration_seconds"]))
        self._timed = timed["item_id"].combine_chunks()
        self._predictions = [_Parts(folder, started) for folder in predictions]
        self._feedback = [_Parts(folder, started) for folder in feedback]
        self._settle, self._started = settle, started
        self._waiting: dict[str, _Slate] = {}
        self._counted: dict[str, float] = {}
        self.tallies: dict[str, Tally] = {}
        self.fates: Counter[str] = Counter(joined=0, no_duration=0, late=0, unknown=0)
        self.settled_until = 0.0

    def read(self, now: float) -> None:
        """Take in what is new, and count the slates whose time is over."""
        for parts in self._predictions:
            for table in parts.new(PREDICTIONS, SLATE_COLUMNS):
                self._take_slates(table)
        # Many parts at once: labelling costs more by the call than by the row.
        for table in _pieces(table for parts in self._feedback for table in parts.new(FEEDBACK, None)):
            self._take_feedback(table, now)
        self._count(now)

    def _take_slates(self, table: pa.Table) -> None:
        rows = zip(
            table["request_id"].to_pylist(),
            milliseconds(table) / 1000,
            table["model_version"].to_pylist(),
            table["item_ids"].to_pylist(),
            strict=True,
        )
        for request, at, version, items in rows:
            if request is None or version is None or items is None or at < self._started:
                continue
            if request in self._counted:  # the same row, delivered again
                continue
            slate = self._waiting.setdefault(request, _Slate(at))
            slate.at, slate.version, slate.items = float(at), version, frozenset(items)

    def _take_feedback(self, table: pa.Table, now: float) -> None:
        bad = not_a_length(table["watch_seconds"]) | not_a_length(table["duration_seconds"])
        for name in REQUIRED:
            bad |= table[name].is_null().to_numpy()
        table = table.filter(pa.array(~bad))
        self.fates["unknown"] += int(bad.sum())
        if not len(table):
            return
        expression = labelled(
            relation(table.select(EVENTS.names)), relation(self._durations), self._engagement
        )
        known = collect(expression, LABELLED_EVENTS)
        effective = pc.greater_equal(known["feedback"], int(Feedback.ENGAGED)).to_pylist()
        untold = self._untold(known).to_pylist()
        columns = (known[name].to_pylist() for name in ("request_id", "item_id", "watch_seconds"))
        for request, item, seconds, engaged, no_duration in zip(*columns, effective, untold, strict=True):
            if request in self._counted:
                self.fates["late"] += 1
                continue
            slate = self._waiting.setdefault(request, _Slate(now))
            slate.events += 1
            slate.untold += no_duration
            # As training joins them: who watches again has not watched less.
            slate.watched[item] = max(slate.watched.get(item, 0.0), seconds or 0.0)
            if engaged:
                slate.viewed.add(item)

    def _untold(self, events: pa.Table) -> pa.ChunkedArray:
        """Which events say how long, of an item of which nobody says how long it is: views that cannot be
        told."""
        if self._engagement.effective_view != "watch_ratio":
            return pa.chunked_array([pa.repeat(False, len(events))])
        bare = pc.and_(pc.is_valid(events["watch_seconds"]), pc.is_null(events["duration_seconds"]))
        return pc.and_(bare, pc.invert(pc.is_in(events["item_id"], value_set=self._timed)))

    def _count(self, now: float) -> None:
        due = [request for request, slate in self._waiting.items() if slate.at + self._settle <= now]
        for request in due:
            slate = self._waiting.pop(request)
            if not slate.version:
                self.fates["unknown"] += slate.events
                continue
            self._counted[request] = now
            self.fates["joined"] += slate.events - slate.untold
            self.fates["no_duration"] += slate.untold
            self._add(self.tallies.setdefault(slate.version, Tally()), slate)
            self.settled_until = max(self.settled_until, slate.at)
        forgotten = now - REMEMBERED * self._settle
        for request in [r for r, at in self._counted.items() if at < forgotten]:
            del self._counted[request]

    @staticmethod
    def _add(tally: Tally, slate: _Slate) -> None:
        share = len(slate.viewed & slate.items) / len(slate.items) if slate.items else 0.0
        seconds = sum(value for item, value in slate.watched.items() if item in slate.items)
        tally.slates += 1
        tally.views += share
        tally.views_squares += share**2
        tally.watch += seconds
        tally.watch_squares += seconds**2


def _pieces(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, about `PIECE_ROWS` at once."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= PIECE_ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


class _Parts:
    """The parts of one log, each read once; those that were whole before `started` are left out."""

    def __init__(self, folder: Path, started: float) -> None:
        self._folder = folder
        self._seen: dict[Path, tuple[int, int]] = {}
        for part, mark in self._present():
            if mark[1] < started * 1e9:
                self._seen[part] = mark

    def new(self, schema: pa.Schema, wanted: frozenset[str] | None) -> Iterator[pa.Table]:
        present = dict(self._present())
        for part, mark in present.items():
            if self._seen.get(part) == mark:
                continue
            self._seen[part] = mark
            notes: list[str] = []
            try:
                yield from batches(part, schema, notes, wanted)
            except (pa.ArrowException, OSError, ValueError) as error:
                log.warning("event=part_left_out part=%s error=%s", part, type(error).__name__)
        for gone in self._seen.keys() - present.keys():
            del self._seen[gone]

    def _present(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for part in sorted(self._folder.rglob("*.parquet")):
            if any(piece.startswith(".") for piece in part.relative_to(self._folder).parts):
                continue
            try:
                found = part.stat()
            except OSError:
                continue  # retention took it between the listing and now
            yield part, (found.st_size, found.st_mtime_ns)
