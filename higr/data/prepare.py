"""Source to `PreparedData`: load, validate, label, split, group into slates, report."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from higr.config import DataConfig
from higr.data import amazon, kuairand, kuairec, served, simulator, tables
from higr.data.engine import running_on
from higr.data.fingerprint import fingerprint
from higr.data.labels import label
from higr.data.prepared import PreparedData
from higr.data.raw import RawTables
from higr.data.schemas import Feedback
from higr.data.slates import SlateCounts, build_slates
from higr.data.splits import NAMES, Boundaries, boundaries
from higr.data.validate import Checked, validate
from higr.errors import InputError

SOURCES: Mapping[str, Callable[[DataConfig, int], RawTables]] = {
    "simulator": simulator.load,
    "kuairand": kuairand.load,
    "kuairec": kuairec.load,
    "amazon": amazon.load,
    "tables": tables.load,
    "logs": served.load,
}


def prepare(config: DataConfig, seed: int) -> PreparedData:
    """The whole stage; writes nothing. Equal config, seed and files give equal tables.

    Raises:
        InputError: the source cannot be used as given; one line says what to do.
    """
    checked = validate(SOURCES[config.source](config, seed), config.max_bad_share)
    with running_on(config.engine):
        events = label(checked.events, checked.items, config.engagement)
        _check_engagement(events, config)
        limits = boundaries(events, config)
        slates, slate_counts = build_slates(events, limits, config)
    content = {"events": events, "items": checked.items, "users": checked.users, "slates": slates}
    report = _report(config, seed, checked, events, slates, limits, slate_counts)
    return PreparedData(
        **content, quarantine=checked.quarantine, report={**report, "fingerprint": fingerprint(content)}
    )


def _check_engagement(events: pa.Table, config: DataConfig) -> None:
    """Without one effective view there is nothing to learn: say so now, not when training starts."""
    if not _engaged_share(events):
        signal = config.engagement.effective_view
        needs = " (watch_seconds, and duration_seconds in events or items)" if signal == "watch_ratio" else ""
        raise InputError(
            f"events: none of {events.num_rows} rows is an effective view by data.engagement.effective_view "
            f"{signal!r}{needs}; supply its columns, lower effective_view_threshold or choose another signal"
        )


def _report(
    config: DataConfig,
    seed: int,
    checked: Checked,
    events: pa.Table,
    slates: pa.Table,
    limits: Boundaries,
    slate_counts: SlateCounts,
) -> dict[str, Any]:
    per_user = pc.value_counts(events["user_id"].combine_chunks()).field("counts")
    with_slate = pc.count_distinct(slates["user_id"]).as_py()
    return {
        "source": config.source,
        "seed": seed,
        "rows": checked.counts,
        "validation_start": limits.validation_start.isoformat(timespec="milliseconds"),
        "test_start": limits.test_start.isoformat(timespec="milliseconds"),
        "splits": {name: _period(name, events, slates, limits) for name in NAMES},
        "engaged_share": _engaged_share(events),
        "slates": asdict(slate_counts),
        "users_with_one_event": pc.sum(pc.equal(per_user, 1)).as_py(),
        "users_without_slate": len(per_user) - with_slate,
    }


def _period(name: str, events: pa.Table, slates: pa.Table, limits: Boundaries) -> dict[str, Any]:
    inside = events.filter(limits.mask(events["timestamp"], name))
    own = slates.filter(pc.equal(slates["split"], name))
    return {
        "events": inside.num_rows,
        "users": pc.count_distinct(inside["user_id"]).as_py(),
        "items": pc.count_distinct(inside["item_id"]).as_py(),
        "slates": own.num_rows,
        "engaged_share": _engaged_share(inside),
    }


def _engaged_share(events: pa.Table) -> float:
    engaged = pc.greater_equal(events["feedback"], int(Feedback.ENGAGED))
    return round(float(pc.mean(engaged).as_py()), 6)
