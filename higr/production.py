"""The stages of a run that meet the store: fetch what is in production, judge a candidate beside it, publish.

fetch -> catalog update, or realign -> gate -> publish
"""

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from higr import stages
from higr.bundle import Bundle
from higr.config import MAX_REALIGN_HOURS, RunConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError, QualityGateError, StoreError
from higr.evaluation.production import CANDIDATE, PRODUCTION, compare_bundles, judge
from higr.evaluation.production_page import html
from higr.files import atomic_file
from higr.progress import Progress, no_progress
from higr.stages import Figures
from higr.store.store import BundleStore


def fetch(store: str, out: Path, progress: Progress = no_progress) -> Figures:
    """The bundle in production, verified, into a new folder.

    Raises:
        StoreError: the store does not answer, or nothing is in production.
    """
    source = BundleStore(store)
    version = source.index().production
    if version is None:
        raise StoreError(
            f"store {source.root.name}: nothing is in production; put a version there with "
            "`higr bundle promote`"
        )
    source.fetch(version, out, progress)
    return {"version": version}


def gate(
    config: RunConfig,
    data: Path,
    candidate: Path,
    store: str,
    page: Path,
    since: datetime | None = None,
    progress: Progress = no_progress,
) -> Figures:
    """Judge a bundle beside the one in production; where there is none it passes, and the figures say so.

    Args:
        page: HTML file to write, however it ends; not written where there was nothing to compare with.
        since: measure on all slates from this moment on; None: on those of the test period.

    Raises:
        QualityGateError: worse than production by more than `gate.margin`.
        StoreError, InputError: the store or the data cannot be used.
    """
    opened = Bundle.open(candidate)
    if BundleStore(store).index().production is None:
        return {"passed": 1, "compared": 0}
    with tempfile.TemporaryDirectory() as folder:
        fetch(store, Path(folder) / "production", progress)
        production = Bundle.open(Path(folder) / "production")
        beside = compare_bundles(opened, production, PreparedData.load(data), config, since, progress)
    judged = judge(beside, config.gate)
    with atomic_file(page) as aside:
        aside.write_text(html(beside, judged, config.gate, config.evaluation.confidence), encoding="utf-8")
    if failed := [one for one in judged if not one.passed]:
        raise QualityGateError(
            f"bundle {beside.candidate} is worse than {beside.production}, which is in production: "
            f"{'; '.join(map(str, failed))} (gate.margin {config.gate.margin}, {config.gate.evidence}, "
            f"{beside.slates} slates); it is not published"
        )
    figures: Figures = {"passed": 1, "compared": 1, "production": beside.production, "slates": beside.slates}
    for one in judged:
        for side in (CANDIDATE, PRODUCTION):
            figures[f"{side}_{one.metric}"] = round(beside.values[side][one.metric].mean, 6)
        figures[f"p_{one.metric}"] = round(beside.differences[one.metric].p_value, 6)
    return figures


def publish(bundle: Path, store: str, by: str, reason: str = "", progress: Progress = no_progress) -> Figures:
    """Copy a bundle to the store; nothing serves it yet. What the store holds already stays as it is.

    Raises:
        BundleError: the bundle is incomplete or altered.
        StoreError: the store does not answer, or holds other content under this version.
    """
    target = BundleStore(store)
    version, new = target.publish(bundle, by, reason, progress)
    return {"version": version, "uri": target.uri(version), "new": int(new)}


def realign(
    config: RunConfig, bundle: Path, data: Path, out: Path, hours: float, progress: Progress = no_progress
) -> Figures:
    """`higr.stages.realign` on the last hours of the logs but their newest slates, which are for the gate.

    Args:
        hours: before the newest slate; `data.test_fraction` of the slates since then are left out.

    Returns:
        Its figures, and `test_start`: the first moment that was left out.

    Raises:
        BundleError, InputError: as `higr.stages.realign`; or hours that hold no two moments.
    """
    if not 0 < hours <= MAX_REALIGN_HOURS:
        raise InputError(f"hours is {hours:g}; give more than 0 and at most {MAX_REALIGN_HOURS}")
    times = PreparedData.load(data).slates["timestamp"]
    since = times[-1].as_py() - timedelta(hours=hours)
    times = times.filter(pc.greater_equal(times, pa.scalar(since, times.type)))
    test_start = times[len(times) - max(1, round(len(times) * config.data.test_fraction))].as_py()
    if test_start == times[0].as_py():
        raise InputError(
            f"hours is {hours:g}: {len(times)} slates since {since.isoformat()} are too few to learn from "
            "and be measured on; give more hours"
        )
    figures = stages.realign(bundle, data, out, since, progress=progress, until=test_start)
    return {**figures, "test_start": test_start.isoformat()}
