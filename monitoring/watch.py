"""The job that runs every hour: new parts of the logs in, verdict and pages out, the switch moved if it
must be."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from higr.bundle import Bundle
from higr.config import MonitoringConfig
from higr.errors import HigrError, InputError
from higr.files import atomic_file, write_json
from monitoring.act import Entry, Lever, Record, Rules, act
from monitoring.catalogue import CatalogueFigures, catalogue_figures
from monitoring.cells import Cells
from monitoring.columns import Segments
from monitoring.drift import evidently_report
from monitoring.exporter import ACTED, Acted, push, write_textfile
from monitoring.fold import Fold, Folded
from monitoring.items import Items
from monitoring.job import EVIDENTLY, PAGE, RESULT, TEXTFILE, thresholds
from monitoring.judge import Frame, Judge, Judgement, moment
from monitoring.pipeline import PipelineTarget, start
from monitoring.report import page
from monitoring.result import DriftResult, ExampleItem, Verdict, WindowSummary
from monitoring.sample import joined
from monitoring.state import State, opened
from monitoring.tally import DAY_HOURS, HOUR_MS

HISTORY, RECORD = "verdicts.jsonl", "switch.jsonl"
EXAMPLES = 4
MAX_EXAMPLE_ITEMS = 12


@dataclass(frozen=True)
class Options:
    """What is compared, and what is done about it.

    Attributes:
        hours: length of a window.
        settle_hours: a window is judged so long after its end: rows still come.
        reference_days: the first days in the state that are the reference; the bundle's own until there
            are 7.
        reference: (first moment, end) of the reference period instead.
        weekday: compare with the same weekday where there are enough.
        segments: users by a field of their profile.
        switch, record: the switch that serving reads, and where moves are written; None: nothing is moved.
        pipeline: what a trip starts; None: nothing.
        pushgateway: host:port; None: not pushed.
    """

    hours: int = DAY_HOURS
    settle_hours: int = 1
    reference_days: int = 28
    reference: tuple[datetime, datetime] | None = None
    weekday: bool = True
    segments: Segments = field(default_factory=Segments)
    switch: Lever | None = None
    rules: Rules = field(default_factory=Rules)
    pipeline: PipelineTarget | None = None
    pushgateway: str | None = None

    def __post_init__(self) -> None:
        if self.hours < 1 or (self.hours > DAY_HOURS and self.hours % DAY_HOURS):
            raise InputError(f"a window of {self.hours} hours: give 1 to 24 hours, or whole days")


LEAST_REFERENCE_DAYS = 7


def run_watch(
    bundle: Path,
    predictions: Path,
    feedback: Path,
    state: Path,
    out: Path,
    options: Options,
    *,
    now: datetime | None = None,
) -> tuple[DriftResult, Entry | None]:
    """Fold what is new, judge the last complete window, write `out`, and act.

    `state` gets one folder a tokenizer and segment field: their counts cannot be added to one another's.

    Raises:
        InputError: a directory is missing or cannot be written, or another run has the state.
        BundleError: the bundle cannot be used.
    """
    now = now or datetime.now(UTC)
    sealed = Bundle.open(bundle)
    config = thresholds(sealed)
    own = state / f"{sealed.manifest.tokenizer_id or 'none'}-{options.segments.name or 'all'}"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made a directory ({error.strerror}); give another --out") from None
    with opened(own) as kept:
        folded = Fold(kept, sealed, options.segments, int(now.timestamp() * 1000))(predictions, feedback)
        if any(folded.rows.values()) or folded.skipped:
            kept.save()
        catalogue = catalogue_figures(sealed)
        result, counted = judge_window(kept, sealed, config, catalogue, options, now, folded)
    recent = _remember(own / HISTORY, result)
    entry, acted = _act(result, own, options, recent, now)
    evidently = _write_evidently(out / EVIDENTLY, result, counted)
    with atomic_file(out / PAGE) as aside:
        aside.write_text(page(result, EVIDENTLY if evidently else None))
    result.save(out / RESULT)
    write_json(out / ACTED, acted.to_json())
    write_textfile(out / TEXTFILE, out / RESULT)
    if options.pushgateway:
        push(out / RESULT, options.pushgateway)
    return result, entry


def judge_window(
    state: State,
    bundle: Bundle,
    config: MonitoringConfig,
    catalogue: CatalogueFigures,
    options: Options,
    now: datetime,
    folded: Folded,
) -> tuple[DriftResult, dict[str, Cells]]:
    """The last window that is complete at `now`, and its columns cell by cell."""
    frame = _frame(state, options, now)
    judge = Judge(state, bundle, config, catalogue, options.segments)
    found = judge(frame)
    began: dict[str, int] = {}
    if found.verdict in ("watch", "page", "trip"):
        loud = {
            s.signal
            for s in found.signals
            if s.verdict in ("watch", "page") and not s.signal.startswith("sid_")
        }
        began = judge.began(frame, loud)
    signals = tuple(
        s.model_copy(update={"since": moment(began[s.signal])}) if s.signal in began else s
        for s in found.signals
    )
    reference = frame.reference
    result = DriftResult(
        verdict=found.verdict,
        reason=found.reason,
        cause=found.cause,
        since=moment(min(began.values())) if began else None,
        bundle_version=bundle.version,
        finished_at=now,
        min_rows=config.min_rows,
        reference=WindowSummary(
            since=moment(reference[0]) if reference else None,
            until=moment(reference[1]) if reference else None,
            rows=found.rows_reference or {"predictions": 0, "feedback": 0},
            skipped={},
            notes=() if reference else ("the bundle's own reference",),
        ),
        current=WindowSummary(
            since=moment(frame.since),
            until=moment(frame.until),
            rows=found.rows_current,
            skipped=found.skipped | folded.skipped,
            notes=folded.notes + catalogue.notes,
        ),
        columns=found.columns,
        signals=signals,
        examples=_examples(state, bundle, found, frame),
    )
    return result, found.counted


def _write_evidently(path: Path, result: DriftResult, counted: dict[str, Cells]) -> bool:
    """Every distribution as Evidently draws it, where something moved: a quiet run saves these seconds."""
    if result.verdict not in ("watch", "page", "trip") or not counted:
        path.unlink(missing_ok=True)
        return False
    thresholds = {c.column: c.page for c in result.columns if c.page is not None and c.column in counted}
    snapshot = evidently_report(counted, thresholds)
    with atomic_file(path) as aside:
        snapshot.save_html(str(aside))
    return True


def _frame(state: State, options: Options, now: datetime) -> Frame:
    hour = int(now.timestamp() * 1000) // HOUR_MS
    until = (hour - options.settle_hours) // options.hours * options.hours
    since = until - options.hours
    if options.reference:
        first, end = (int(m.timestamp()) // 3600 for m in options.reference)
        return Frame(since, until, (first, end), options.weekday)
    days = [day for day in state.days if (day + 1) * DAY_HOURS <= since]
    if len(days) < LEAST_REFERENCE_DAYS:
        return Frame(since, until, None, options.weekday)
    first = days[0] * DAY_HOURS
    return Frame(since, until, (first, first + options.reference_days * DAY_HOURS), options.weekday)


def _remember(path: Path, result: DriftResult) -> list[str]:
    """Verdicts of this and the earlier windows, newest first; a window that is judged again counts once."""
    verdicts: dict[str, Verdict] = {}
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
                verdicts[row["until"]] = row["verdict"]
            except (ValueError, KeyError, TypeError):
                continue  # a torn line of a run that was killed
    until = result.current.until.isoformat() if result.current.until else ""
    verdicts[until] = result.verdict
    newest = dict(sorted(verdicts.items())[-200:])
    with atomic_file(path) as aside:
        aside.write_text("".join(json.dumps({"until": u, "verdict": v}) + "\n" for u, v in newest.items()))
    return [newest[u] for u in sorted(newest, reverse=True)]


def _act(
    result: DriftResult, own: Path, options: Options, recent: list[str], now: datetime
) -> tuple[Entry | None, Acted]:
    """Move the switch and start the pipeline. What fails is recorded and shown; the verdict still goes
    out."""
    if options.switch is None:
        return None, Acted()
    record, failed = Record(own / RECORD), []
    entry = None
    try:
        entry = act(result, options.switch, record, options.rules, recent, now)
    except HigrError as error:
        failed.append("switch")
        _note_failure(record, result, now, str(error))
    if entry and entry.action == "moved" and options.pipeline:
        try:
            until = result.current.until
            name = f"higr-drift-{result.cause}-{until:%Y%m%d%H}" if until else f"higr-drift-{result.cause}"
            if run := start(options.pipeline, result.cause, name):
                record.append(Entry(at=now, by="drift-job", action="pipeline", cause=result.cause, note=run))
        except HigrError as error:
            failed.append("pipeline")
            _note_failure(record, result, now, str(error))
    return entry, Acted.of(record.entries(), failed)


def _note_failure(record: Record, result: DriftResult, now: datetime, why: str) -> None:
    try:
        record.append(Entry(at=now, by="drift-job", action="failed", cause=result.cause, note=why))
    except HigrError:
        return  # the metric `higr_drift_act_failed` says it


def _examples(
    state: State, bundle: Bundle, found: Judgement, frame: Frame
) -> tuple[tuple[ExampleItem, ...], ...]:
    """A few slates of the window, with what became of them; those least effective first where things got
    worse."""
    if found.verdict not in ("watch", "page", "trip"):
        return ()
    tables = [state.sample(day) for day in range(frame.since // DAY_HOURS, -(-frame.until // DAY_HOURS))]
    rows = pa.concat_tables(tables).to_pandas()
    rows = rows[(rows["hour"] >= frame.since) & (rows["hour"] < frame.until) & (rows["log"] == "predictions")]
    if rows.empty:
        return ()
    outcome = joined(pa.concat_tables(tables)).set_index(["request", "item_id"])["effective"]
    items = Items.of(bundle)
    shown = []
    for request in np.sort(rows["request"].unique())[:EXAMPLES]:
        slate = rows[rows["request"] == request].sort_values("position")[:MAX_EXAMPLE_ITEMS]
        places = items.rows(pa.array(slate["item_id"].tolist()))
        shown.append(
            tuple(
                ExampleItem(
                    item_id=item,
                    category=str(items.categories[items.category[place]]),
                    semantic_id=tuple(int(code) for code in items.codes[place]),
                    effective=bool(outcome[request, item]) if (request, item) in outcome.index else None,
                )
                for item, place in zip(slate["item_id"], places, strict=True)
            )
        )
    return tuple(shown)
