"""A window of the state against the reference period: signals, columns, cause and verdict."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from higr.bundle import Bundle
from higr.config import MonitoringConfig
from higr.data.schemas import LABELLED_EVENTS
from monitoring.catalogue import CatalogueFigures, Figure
from monitoring.causes import Moves, name_cause
from monitoring.cells import Cells as RowCells
from monitoring.columns import Segments, tally_feedback, tally_predictions
from monitoring.embeddings import Planner
from monitoring.items import UNKNOWN, Items
from monitoring.null import COARSE, Judged, Null, adjusted
from monitoring.outcomes import tally_outcomes
from monitoring.result import VERDICTS, CellShift, ColumnDrift, Signal, Verdict
from monitoring.signals import specs
from monitoring.state import State
from monitoring.tally import DAY_HOURS, TALLY, Tally

MAX_MOVED = 12
VANISHED, ONCE = 0.2, 0.02
"""A category has vanished where less than this part is left of a share that was at least so large."""
REFERENCE_ONLY = (
    "served_",
    "exposed_",
    "engaged_",
    "effective_",
    "diversity",
    "prefix_rep",
    "popularity",
    "watch_",
)
"""Columns of the bundle's own reference that live traffic can be compared with: it was decoded at a desk."""
EDGES = np.linspace(0.1, 0.9, 9)
LOOK_BACK = 14
"""Windows before the current one that are looked at for when a move began."""
DRAWN_ROWS = 5_000


@dataclass(frozen=True)
class Frame:
    """Which windows are compared.

    Attributes:
        since, until: hours since 1970, of the current window.
        reference: (first hour, end) of the reference period in the state; None: the bundle's own reference.
        weekday: windows of the same weekday are compared, where there are enough.
    """

    since: int
    until: int
    reference: tuple[int, int] | None
    weekday: bool = True

    @property
    def length(self) -> int:
        return self.until - self.since

    def starts(self) -> list[int]:
        """First hours of the reference's windows: the current one's hours of the day, on every earlier
        day."""
        if self.reference is None:
            return []
        first, end = self.reference
        ahead = (self.since - first) // DAY_HOURS
        found = [self.since - k * DAY_HOURS for k in range(1, ahead + 1)]
        return sorted(
            start for start in found if start >= first and start + self.length <= min(end, self.since)
        )

    def kind(self, start: int) -> int:
        return start // DAY_HOURS % 7 if self.weekday and self.length < 7 * DAY_HOURS else 0


@dataclass(frozen=True)
class Judgement:
    """What `judge` found, as `DriftResult` has it.

    counted: the columns with a PSI, cell by cell, for Evidently.
    """

    verdict: Verdict
    reason: str
    cause: str | None
    model: bool
    since: datetime | None
    signals: tuple[Signal, ...]
    columns: tuple[ColumnDrift, ...]
    counted: dict[str, RowCells]
    rows_reference: dict[str, int]
    rows_current: dict[str, int]
    skipped: dict[str, int]


class Judge:
    """Judges windows of one state.

    Args:
        catalogue: figures of the live catalogue.
    """

    def __init__(
        self,
        state: State,
        bundle: Bundle,
        config: MonitoringConfig,
        catalogue: CatalogueFigures,
        segments: Segments,
        seed: int = 0,
    ) -> None:
        self.state, self.bundle, self.config, self.seed = state, bundle, config, seed
        self.catalogue, self.segments = catalogue, segments
        self.edges, self.planner = score_edges(bundle), Planner.of(bundle)
        self._mark = hashlib.sha256(self.edges.tobytes() + bundle.version.encode()).hexdigest()[:8]
        self._days: dict[int, pa.Table] = {}

    def __call__(self, frame: Frame) -> Judgement:
        current = self._window(frame.since, frame.until)
        rows = _rows(current)
        skipped = _skipped(current)
        if missing := self._missing(rows, skipped):
            return Judgement("no-data", missing, None, False, None, (), (), {}, {}, rows, skipped)
        starts = frame.starts()
        if starts:
            reference = [self._window(start, start + frame.length) for start in starts]
            kept = [i for i, table in enumerate(reference) if _rows(table)["predictions"]]
            reference, starts = [reference[i] for i in kept], [starts[i] for i in kept]
        if not starts:
            reference, starts = [reference_tally(self.bundle, self.segments)], [frame.since]
        kinds = np.array([frame.kind(start) for start in starts])
        null = Null(reference, current, kinds, frame.kind(frame.since), seed=self.seed)
        judged = [
            found
            for name, spec in specs(null.current).items()
            if (found := null.judge(name, spec, self.config.min_rows)) is not None
        ]
        holm, hochberg = adjusted([j.p for j in judged] or [1.0])
        signals = [_signal(j, h, b, self.config) for j, h, b in zip(judged, holm, hochberg, strict=False)] + [
            _catalogue_signal(figure, self.catalogue) for figure in self.catalogue.figures
        ]
        columns = _columns(null, {s.signal: s for s in signals})
        vanished = _vanished(null)
        counted = {c.column: _row_cells(null, c.column) for c in columns if c.verdict != "no-data"}
        return self._conclude(signals, columns, vanished, rows, reference, skipped, counted)

    def began(self, frame: Frame, names: set[str]) -> dict[str, int]:
        """First hour of the windows in a row, up to the current one, in which each signal had moved by
        `watch`."""
        found = dict.fromkeys(names, frame.since)
        going, start = set(names), frame.since
        for _ in range(LOOK_BACK):
            start -= frame.length
            if not going or (frame.reference and start < frame.reference[1]):
                break
            earlier = self(Frame(start, start + frame.length, frame.reference, frame.weekday))
            moved = {s.signal for s in earlier.signals if s.signal in going and abs(s.move) >= s.watch}
            found |= dict.fromkeys(moved, start)
            going &= moved
        return found

    def _missing(self, rows: dict[str, int], skipped: dict[str, int]) -> str | None:
        """Why nothing can be said of the window; None where something can."""
        foreign = skipped.get("predictions.other-version", 0)
        least = self.config.min_rows
        if rows["predictions"] >= least:
            return None
        if foreign:
            return (
                f"{foreign} slates are of other bundles than {self.bundle.version} and only "
                f"{rows['predictions']} "
                "of this one; give the one that serves"
            )
        if rows["feedback"] >= least:
            return (
                f"{rows['feedback']} exposures came back but only {rows['predictions']} slates are in the log"
            )
        return f"at least {least} slates are due in the window; {rows['predictions']} came"

    def _conclude(
        self,
        signals: list[Signal],
        columns: list[ColumnDrift],
        vanished: tuple[str, ...],
        rows: dict[str, int],
        reference: list[pa.Table],
        skipped: dict[str, int],
        counted: dict[str, RowCells],
    ) -> Judgement:
        signals.sort(key=lambda s: (-VERDICTS.index(s.verdict), -s.shift))
        columns.sort(key=lambda c: (-VERDICTS.index(c.verdict), -(c.psi or 0) / (c.page or 1)))
        by_name = {s.signal: s for s in signals}
        known = [s.verdict for s in signals if s.verdict != "no-data"]
        verdict: Verdict = max(known, key=VERDICTS.index, default="no-data")
        if verdict == "ok" and rows["feedback"] < self.config.min_rows:
            verdict = "no-data"
        named = name_cause(Moves(by_name, vanished)) if verdict in ("watch", "page") else None
        if verdict == "page" and named and named[0].model and _worse(by_name):
            verdict = "trip"
        loud = [s for s in signals if s.verdict in ("watch", "page")]
        reason = f"{len(known)} figures within their thresholds"
        if verdict == "no-data":
            reason = (
                f"{rows['predictions']} slates but only {rows['feedback']} exposures came back: "
                "how they are received is unknown"
            )
        if loud:
            moved = [f"{s.words} {_number(s.expected)} -> {_number(s.now)}" for s in loud]
            more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
            reason = f"{named[1] if named else ''} Moved: {'; '.join(moved[:3])}{more}".strip()
        before = {"predictions": 0, "feedback": 0}
        for table in reference:
            before = {name: before[name] + count for name, count in _rows(table).items()}
        cause = named[0].name if named else None
        model = bool(named and named[0].model)
        return Judgement(
            verdict,
            reason,
            cause,
            model,
            None,
            tuple(signals),
            tuple(columns),
            counted,
            before,
            rows,
            skipped,
        )

    def _outcomes(self, sample: pa.Table) -> list[pa.Table]:
        found = [tally_outcomes(sample, self.edges)]
        return [*found, self.planner.tally(sample)] if self.planner else found

    def _window(self, since: int, until: int) -> pa.Table:
        """`TALLY` rows of a window, with what the sampled slates say."""
        days = range(since // DAY_HOURS, -(-until // DAY_HOURS))
        if not (since % DAY_HOURS or until % DAY_HOURS):
            return pa.concat_tables(
                [TALLY.empty_table(), *(self.state.day_sum(d, self._outcomes, self._mark) for d in days)]
            )
        for day in days:
            if day not in self._days:
                rows = self.state.tally(day * DAY_HOURS, (day + 1) * DAY_HOURS)
                self._days[day] = pa.concat_tables([rows, *self._outcomes(self.state.sample(day))])
        table = pa.concat_tables([TALLY.empty_table(), *(self._days[day] for day in days)])
        hour = table["hour"].to_numpy()
        keep = (hour >= since) & (hour < until)
        keep &= ~np.isin(table["column"].to_numpy(zero_copy_only=False), COARSE)
        return table.filter(pa.array(keep))


def score_edges(bundle: Bundle) -> np.ndarray:
    """(9,) deciles of HiGR's scores in the bundle's reference."""
    predictions = bundle.reference("predictions")
    scores = predictions["scores"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.unique(np.quantile(scores, EDGES)) if len(scores) else np.zeros(1)


def reference_tally(bundle: Bundle, segments: Segments) -> pa.Table:
    """The bundle's own reference as one window: of what live traffic can be compared with."""
    items, tally = Items.of(bundle), Tally()
    predictions, feedback = bundle.reference("predictions"), bundle.reference("feedback")
    if len(predictions):
        slates = sum(predictions["item_ids"].combine_chunks().value_lengths().to_pylist())
        tally_predictions(tally, predictions, items, segments, np.zeros(slates, dtype=bool))
    if len(feedback):
        tally_feedback(tally, feedback.select(LABELLED_EVENTS.names), items, segments)
    table = tally.table()
    names = table["column"].to_numpy(zero_copy_only=False)
    keep = np.array([str(name).startswith(REFERENCE_ONLY) for name in names], dtype=bool)
    table = table.filter(pa.array(keep & ~np.isin(names, COARSE)))
    # So that its size is known: slates and exposures are counted in these columns.
    return pa.concat_tables([table, _counts_only(len(predictions))])


def _counts_only(slates: int) -> pa.Table:
    rows = [{"hour": 0, "block": 0, "column": "slates", "cell": "", "n": slates, "total": 0.0}]
    return pa.Table.from_pylist(rows, TALLY)


def _rows(table: pa.Table) -> dict[str, int]:
    column, n = table["column"].to_numpy(zero_copy_only=False), table["n"].to_numpy()
    slates = int(n[np.isin(column, ("source", "slates"))].sum())
    return {"predictions": slates, "feedback": int(n[column == "effective_view"].sum())}


def _skipped(table: pa.Table) -> dict[str, int]:
    rows = table.filter(pa.compute.equal(table["column"], "skipped")).to_pylist()
    found: dict[str, int] = {}
    for row in rows:
        found[row["cell"]] = found.get(row["cell"], 0) + row["n"]
    return dict(sorted(found.items()))


def _signal(judged: Judged, holm: float, hochberg: float, config: MonitoringConfig) -> Signal:
    spec, move = judged.spec, abs(judged.move)
    verdict: Verdict = "ok"
    if judged.rows_now < config.min_rows and judged.p >= 1:
        verdict = "no-data"
    elif move >= spec.page and holm < config.page_chance:
        verdict = "page"
    elif move >= spec.watch and hochberg < config.watch_chance:
        verdict = "watch"
    return Signal(
        signal=judged.name,
        words=spec.words,
        verdict=verdict,
        now=_finite(judged.now),
        expected=_finite(judged.expected),
        measure=spec.measure,
        move=_finite(judged.move),
        watch=max(spec.watch, judged.sure),
        page=max(spec.page, judged.sure),
        p=judged.p,
        rows_reference=judged.rows_before,
        rows_current=judged.rows_now,
    )


def _catalogue_signal(figure: Figure, found: CatalogueFigures) -> Signal:
    move, verdict = abs(figure.move), "ok"
    if figure.p < 1e-3:
        verdict = "page" if move >= figure.page else "watch" if move >= figure.watch else "ok"
    return Signal(
        signal=figure.name,
        words=figure.words,
        verdict=verdict,
        now=figure.now,
        expected=figure.expected,
        measure="relative" if figure.relative else "absolute",
        move=figure.move,
        watch=figure.watch,
        page=figure.page,
        p=figure.p,
        rows_reference=found.items - found.new,
        rows_current=found.items,
    )


def _columns(null: Null, signals: dict[str, Signal]) -> list[ColumnDrift]:
    """The PSI signals again, with the cells that moved."""
    found = []
    for name, signal in signals.items():
        if not name.startswith("psi:"):
            continue
        column = name.removeprefix("psi:")
        now, before = null.current[column], null.expected[column]
        new, old = now.shares()[0], before.shares()[0]
        parts = (new - old) * np.log(new / old)
        order = np.argsort(-parts, kind="stable")[:MAX_MOVED]
        found.append(
            ColumnDrift(
                column=column,
                verdict=signal.verdict,
                psi=signal.now,
                noise=signal.expected,
                watch=signal.expected + signal.watch,
                page=signal.expected + signal.page,
                rows_reference=signal.rows_reference,
                rows_current=signal.rows_current,
                cells=len(now.labels),
                moved=tuple(
                    CellShift(
                        label=now.labels[i],
                        reference=float(old[i]),
                        current=float(new[i]),
                        psi=float(parts[i]),
                    )
                    for i in order
                ),
            )
        )
    return found


def _row_cells(null: Null, column: str) -> RowCells:
    """The counts as rows again, at most about `DRAWN_ROWS` a side: Evidently takes rows."""

    def rows(n: np.ndarray) -> np.ndarray:
        scale = min(DRAWN_ROWS / max(n.sum(), 1), 1.0)
        return np.repeat(np.arange(len(n)), np.round(n * scale).astype(np.int64))

    now, before = null.current[column], null.expected[column]
    return RowCells(now.labels, rows(before.n[0]), rows(now.n[0]))


def _vanished(null: Null) -> tuple[str, ...]:
    """Categories of which next to nothing is served any more."""
    if "served_category" not in null.current:
        return ()
    now, before = null.current["served_category"], null.expected["served_category"]
    new, old = now.shares()[0], before.shares()[0]
    expected = old * now.rows()[0]
    gone = (old >= ONCE) & (new < VANISHED * old) & (expected >= 30)
    return tuple(label for label, out in zip(now.labels, gone, strict=True) if out and label != UNKNOWN)


def _worse(signals: dict[str, Signal]) -> bool:
    """Users are worse off: fewer effective views, or less of each."""
    names = ("effective_view", "watch_ratio")
    return any(
        name in signals and signals[name].verdict in ("watch", "page") and signals[name].move < 0
        for name in names
    )


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0


def _number(value: float) -> str:
    return f"{value:.3g}"


def moment(hour: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
