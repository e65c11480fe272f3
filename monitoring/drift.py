"""Has what is served, or how it is received, moved away from the reference?

Evidently computes the PSI of every column in one report; the thresholds are `MonitoringConfig`'s plus what
chance alone explains (`monitoring.cells`). Columns are compared one by one: a row of the report's frames is
not a record.
"""

import os
import warnings
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from higr.bundle import Bundle
from higr.config import MonitoringConfig
from monitoring.cells import Cells, cells, noise
from monitoring.profile import profile
from monitoring.result import VERDICTS, CellShift, ColumnDrift, DriftResult, Verdict, WindowSummary
from monitoring.windows import Window

MAX_MOVED = 12


def compare(
    reference: Window, current: Window, bundle: Bundle, config: MonitoringConfig
) -> tuple[DriftResult, Any]:
    """The verdict, and the Evidently snapshot behind it (None where no column has enough rows)."""
    before = profile(reference, bundle.catalog, bundle.items)
    now = profile(current, bundle.catalog, bundle.items)
    counted: dict[str, Cells] = {}
    thresholds: dict[str, float] = {}
    rows: dict[str, tuple[int, int]] = {}
    for frame in before:
        for name in before[frame].columns.drop("user"):
            column = f"{frame}_{name}"
            old, new = before[frame].dropna(subset=name), now[frame].dropna(subset=name)
            rows[column] = (len(old), len(new))
            if min(rows[column]) >= config.min_rows:
                counted[column] = cells(old[name], new[name])
                thresholds[column] = noise(counted[column], old["user"].to_numpy(), new["user"].to_numpy())
    snapshot = evidently_report(counted, {c: config.psi_watch + noisy for c, noisy in thresholds.items()})
    psi = _psi(snapshot)
    columns = [
        _verdict(column, *rows[column], counted[column], psi[column], thresholds[column], config)
        if column in psi
        else ColumnDrift(
            column=column, verdict="no-data", rows_reference=rows[column][0], rows_current=rows[column][1]
        )
        for column in rows
    ]
    columns.sort(key=lambda c: (-VERDICTS.index(c.verdict), -(c.psi or 0) / (c.watch or 1)))
    verdict = columns[0].verdict
    reason = _reason(verdict, [c for c in columns if c.verdict == verdict], config)
    foreign = current.skipped.get("predictions.other-version", 0)
    if foreign and not current.rows["predictions"]:
        # Feedback that names no request cannot be told by version: without one slate of this bundle nothing
        # in the window speaks of it.
        verdict = "no-data"
        reason = f"all {foreign} slates are of another bundle than {bundle.version}; give the one that serves"
    result = DriftResult(
        verdict=verdict,
        reason=reason,
        bundle_version=bundle.version,
        finished_at=datetime.now(UTC),
        min_rows=config.min_rows,
        reference=_summary(reference),
        current=_summary(current),
        columns=tuple(columns),
    )
    return result, snapshot


def evidently_report(counted: dict[str, Cells], thresholds: dict[str, float]) -> Any:
    """One Evidently snapshot over all columns, each a categorical column of cell labels; None for no columns.

    Columns of fewer rows than the longest end in missing values, which Evidently leaves out column by column.
    """
    if not counted:
        return None
    os.environ["DO_NOT_TRACK"] = "1"  # before the import: it reads the variable once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside evidently and what it imports
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        definition = DataDefinition(categorical_columns=list(counted))
        current, reference = (
            Dataset.from_pandas(
                pd.DataFrame(
                    {
                        c: pd.Series(np.array(v.labels, dtype=object)[getattr(v, side)])
                        for c, v in counted.items()
                    }
                ),
                data_definition=definition,
            )
            for side in ("current", "reference")
        )
        metrics = [ValueDrift(column=c, method="psi", threshold=thresholds[c]) for c in counted]
        return Report(metrics, include_tests=True).run(current, reference)


def _psi(snapshot: Any) -> dict[str, float]:
    metrics = snapshot.dict()["metrics"] if snapshot else []
    return {metric["config"]["column"]: float(metric["value"]) for metric in metrics}


def _verdict(
    column: str, before: int, now: int, found: Cells, psi: float, noisy: float, config: MonitoringConfig
) -> ColumnDrift:
    watch, page = config.psi_watch + noisy, config.psi_page + noisy
    verdict: Verdict = "page" if psi >= page else "watch" if psi >= watch else "ok"
    return ColumnDrift(
        column=column,
        verdict=verdict,
        psi=psi,
        noise=noisy,
        watch=watch,
        page=page,
        rows_reference=before,
        rows_current=now,
        cells=len(found.labels),
        moved=_moved(found),
    )


def _moved(found: Cells) -> tuple[CellShift, ...]:
    reference, current = found.shares()
    parts = found.psi_parts()
    order = np.argsort(-parts, kind="stable")[:MAX_MOVED]
    return tuple(
        CellShift(
            label=found.labels[i],
            reference=float(reference[i]),
            current=float(current[i]),
            psi=float(parts[i]),
        )
        for i in order
    )


def _reason(verdict: Verdict, loudest: list[ColumnDrift], config: MonitoringConfig) -> str:
    if verdict == "ok":
        return f"{len(loudest)} columns within their thresholds"
    if verdict == "no-data":
        thin = [f"{c.column} ({c.rows_reference} before, {c.rows_current} now)" for c in loudest]
        return f"at least {config.min_rows} rows a window are due: {', '.join(thin[:3])}{_more(thin, 3)}"
    moved = [
        f"{c.column} (PSI {c.psi:.2f}, {verdict} at {c.page if verdict == 'page' else c.watch:.2f})"
        for c in loudest
    ]
    return f"{', '.join(moved[:3])}{_more(moved, 3)} moved"


def _more(names: list[str], shown: int) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""


def _summary(window: Window) -> WindowSummary:
    return WindowSummary(
        since=window.since, until=window.until, rows=window.rows, skipped=window.skipped, notes=window.notes
    )
