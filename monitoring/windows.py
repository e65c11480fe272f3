"""The two windows of a comparison: what the bundle was released with, and what the logs say since."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from higr.bundle import Bundle
from higr.config import EngagementConfig
from higr.data.labels import label
from higr.data.logs import FEEDBACK, PREDICTIONS, is_sampled, with_added
from higr.data.schemas import EVENTS, LABELLED_EVENTS
from higr.errors import BundleError, InputError
from monitoring.parts import LogRead, Period, key_hash, read_log

MAX_SLATES = 20_000
MAX_EXPOSURES = 100_000
"""More rows sharpen little: chance alone gives a level of 64 codes a PSI of 0.002 times the design effect."""


@dataclass(frozen=True)
class Window:
    """One side of a comparison.

    Attributes:
        predictions: `higr.data.logs.PREDICTIONS`, sampled to `MAX_SLATES`.
        feedback: `higr.data.schemas.LABELLED_EVENTS`, sampled to `MAX_EXPOSURES`.
        since: first moment: as asked for, else of the earliest row; None where there is no row.
        until: end, likewise.
        rows: usable rows a log, before sampling.
        skipped: log, a dot and the reason to how many were left out, as `predictions.duplicate`.
        notes: what is to be said of single files.
    """

    predictions: pa.Table
    feedback: pa.Table
    since: datetime | None
    until: datetime | None
    rows: dict[str, int]
    skipped: dict[str, int]
    notes: tuple[str, ...]


def reference_window(bundle: Bundle, seed: int = 0) -> Window:
    """The bundle's own validation period.

    Raises:
        BundleError: the bundle has no reference, or one of another schema.
    """
    predictions = _reference(bundle, "predictions", PREDICTIONS)
    feedback = _reference(bundle, "feedback", LABELLED_EVENTS)
    since, until = _bounds(Period(), predictions, feedback)
    return Window(
        predictions=_sample(predictions, MAX_SLATES, seed),
        feedback=_sample(feedback, MAX_EXPOSURES, seed),
        since=since,
        until=until,
        rows={"predictions": len(predictions), "feedback": len(feedback)},
        skipped={},
        notes=(),
    )


def current_window(
    bundle: Bundle, predictions: Path, feedback: Path, period: Period, seed: int = 0
) -> Window:
    """What was served by this bundle in the period, and how it was received.

    Rows of another bundle version, and feedback on slates of another version, are left out and counted.
    Feedback is labelled with the bundle's own engagement policy, as its reference was. Where the prediction
    log is sampled, feedback on requests that it does not have is left out: nobody knows who served them.

    Raises:
        InputError: a log directory is missing.
        BundleError: the bundle's engagement configuration cannot be read.
    """
    foreign: list[np.ndarray] = []
    shares = [1.0]

    def refuse_prediction(table: pa.Table) -> dict[str, np.ndarray]:
        other = pc.not_equal(table["model_version"], bundle.version).to_numpy()
        shares.append(pc.min(pc.fill_null(table["sample_share"], 1.0)).as_py() or 1.0)
        foreign.append(key_hash(table["request_id"].filter(pa.array(other)), seed))
        lengths = [pc.list_value_length(table[name]) for name in ("item_ids", "scores")]
        return {"malformed": pc.not_equal(*lengths).to_numpy(), "other-version": other}

    served = read_log(
        predictions,
        PREDICTIONS,
        key="request_id",
        period=period,
        limit=MAX_SLATES,
        seed=seed,
        refuse=refuse_prediction,
    )
    of_other_version = np.unique(np.concatenate([np.empty(0, np.uint64), *foreign]))

    def refuse_feedback(table: pa.Table) -> dict[str, np.ndarray]:
        return {
            "malformed": not_a_length(table["watch_seconds"]) | not_a_length(table["duration_seconds"]),
            "other-version": np.isin(key_hash(table["request_id"], seed), of_other_version),
            "not-sampled": not_sampled(table["request_id"], min(shares)),
        }

    received = read_log(
        feedback,
        FEEDBACK,
        key="event_id",
        period=period,
        limit=MAX_EXPOSURES,
        seed=seed,
        refuse=refuse_feedback,
    )
    labelled, note = _labelled(bundle, received.table)
    logs: dict[str, LogRead] = {"predictions": served, "feedback": received}
    since, until = _bounds(period, served.table, received.table)
    return Window(
        predictions=served.table,
        feedback=labelled,
        since=since,
        until=until,
        rows={name: log.rows for name, log in logs.items()},
        skipped={f"{name}.{why}": n for name, log in logs.items() for why, n in log.skipped.items()},
        notes=tuple(f"{name}: {line}" for name, log in logs.items() for line in log.notes) + note,
    )


def _labelled(bundle: Bundle, events: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """The events with feedback and strength; none of them, and a note, where they cannot be labelled."""
    engagement = engagement_of(bundle)
    if not len(events):
        return LABELLED_EVENTS.empty_table(), ()
    try:
        return label(events.select(EVENTS.names).cast(EVENTS), bundle.items, engagement), ()
    except InputError as error:  # a log without the signal is an outage to report, not a reason to stop
        return LABELLED_EVENTS.empty_table(), (f"feedback: {error}",)


def not_sampled(request_ids: pa.ChunkedArray, share: float) -> np.ndarray:
    """(rows,) bool: of a request that a prediction log of this share does not have."""
    if share == 1:
        return np.zeros(len(request_ids), dtype=bool)
    ids = request_ids.to_pylist()
    return np.array([name is not None and not is_sampled(name, share) for name in ids], dtype=bool)


def engagement_of(bundle: Bundle) -> EngagementConfig:
    """What feedback meant when the bundle was built.

    Raises:
        BundleError: its configuration does not say.
    """
    try:
        return EngagementConfig.model_validate(bundle.manifest.config["data"]["engagement"])
    except (KeyError, TypeError, ValidationError):
        raise BundleError(
            f"bundle {bundle.path}: its configuration has no readable data.engagement; build the bundle again"
        ) from None


def not_a_length(column: pa.ChunkedArray) -> np.ndarray:
    """(rows,) bool: NaN, infinite or negative; null is allowed."""
    bad = pc.or_(pc.invert(pc.is_finite(column)), pc.less(column, 0))
    return pc.fill_null(bad, False).to_numpy()


def _reference(bundle: Bundle, name: str, schema: pa.Schema) -> pa.Table:
    try:
        table = bundle.reference(name)  # type: ignore[arg-type]
        return with_added(table, schema).select(schema.names).cast(schema)
    except (InputError, KeyError, ValueError, pa.ArrowException) as error:
        raise BundleError(
            f"bundle {bundle.path}: reference/{name}.parquet cannot be used ({error}); build the bundle again"
        ) from None


def _sample(table: pa.Table, limit: int, seed: int) -> pa.Table:
    if len(table) <= limit:
        return table
    rows = np.random.default_rng(seed).choice(len(table), limit, replace=False)
    return table.take(pa.array(np.sort(rows)))


def _bounds(period: Period, *tables: pa.Table) -> tuple[datetime | None, datetime | None]:
    limits = [pc.min_max(table["timestamp"]).as_py() for table in tables if len(table)]
    since = period.since or min((limit["min"] for limit in limits), default=None)
    until = period.until or max((limit["max"] for limit in limits), default=None)
    return (since and since.astimezone(UTC), until and until.astimezone(UTC))
