"""Source `logs`: what serving showed and what became of it, as events.

Every item of a served slate is an exposure, at the moment and position of the slate, with the feedback that
names its request and item. One without feedback was exposed and no more. So a slate of training is a slate
that was served, in its order. Feedback may come from several logs, late, and more than once; what belongs to
no slate is put aside with its reason.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.config import DataConfig
from higr.data.faults import Faults, Mask, blank, repeats
from higr.data.log_parts import read_parts
from higr.data.logs import FEEDBACK, PREDICTIONS, is_sampled
from higr.data.raw import RawTables, folder, read_parquet
from higr.data.validate import sift

SLATE_COLUMNS = ("request_id", "timestamp", "user_id", "item_ids", "surface", "sample_share")
SLATES = pa.schema([PREDICTIONS.field(name) for name in SLATE_COLUMNS])
KEY = ("request_id", "item_id")
SIGNALS = tuple(
    name for name in FEEDBACK.names if name not in (*KEY, "event_id", "user_id", "timestamp", "position")
)
LARGEST = frozenset({"watch_seconds"})
"""Of these signals the largest counts, of the others the latest: who watches again has not watched less."""


def load(config: DataConfig, seed: int) -> RawTables:
    """Join the two logs; `seed` has no part in it.

    Raises:
        InputError: a folder or file is missing or unreadable, or too many rows cannot be joined.
    """
    base, where = folder(config), config.logs
    slates, bad_slates, slate_counts = _slates([base / name for name in where.predictions], config)
    feedback, bad_feedback, feedback_counts = _feedback(
        [base / name for name in where.feedback], slates, config
    )
    settled = _settled(slates, feedback, where.settle_minutes)
    events, alone = _events(slates.filter(settled), feedback)
    slate_counts |= {
        "unsettled": len(slates) - (pc.sum(settled).as_py() or 0),
        "exposures": len(events),
        "exposures_without_feedback": alone,
    }
    items, users = _items(base / where.items), base / (where.users or "users.parquet")
    return RawTables(
        events=events,
        items=read_parquet(items),
        users=read_parquet(users) if where.users or users.exists() else None,
        files={"events": f"the logs of {base}", "items": str(items), "users": str(users)},
        event_key=KEY,
        quarantine=pa.concat_tables([bad_slates, bad_feedback]),
        counts={"predictions": slate_counts, "feedback": feedback_counts},
    )


def _items(path: Path) -> Path:
    return path / "items.parquet" if path.is_dir() else path


def _slates(folders: Sequence[Path], config: DataConfig) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """Served slates in time order, one a request; rows put aside; counts."""
    rows, again = _once(read_parts(folders, SLATES), "request_id")
    name = ", ".join(map(str, folders))
    kept, bad, counts = sift("predictions", rows, SLATES, name, _slate_faults, config.max_bad_share)
    return kept, bad, counts | {"in": counts["in"] + again, "repeats": again}


def _slate_faults(slates: pa.Table) -> Faults:
    return [
        ("request_id is null or empty", blank(slates["request_id"])),
        ("user_id is null or empty", blank(slates["user_id"])),
        ("timestamp is null", slates["timestamp"].is_null().to_numpy()),
        ("item_ids is null", slates["item_ids"].is_null().to_numpy()),
    ]


def _feedback(
    folders: Sequence[Path], slates: pa.Table, config: DataConfig
) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """Feedback on the slates in time order, each event once; rows put aside; counts."""
    rows, again = _once(read_parts(folders, FEEDBACK), "event_id")
    left_out = _not_sampled(rows, slates)
    due = rows.filter(pa.array(~left_out))
    faults = partial(_feedback_faults, slates=slates)
    name = ", ".join(map(str, folders))
    kept, bad, counts = sift("feedback", due, FEEDBACK, name, faults, config.max_bad_share)
    return kept, bad, counts | {"in": len(rows) + again, "repeats": again, "not_sampled": int(left_out.sum())}


def _not_sampled(feedback: pa.Table, slates: pa.Table) -> Mask:
    """(rows,) of feedback on requests that the prediction log left out, as it was told to."""
    left_out = np.zeros(len(feedback), dtype=bool)
    share = pc.min(pc.fill_null(slates["sample_share"], 1.0)).as_py()
    if share < 1:
        ids = feedback["request_id"]
        unknown = pc.and_(ids.is_valid(), pc.invert(pc.is_in(ids, value_set=slates["request_id"])))
        rows = np.flatnonzero(unknown.to_numpy())
        left_out[rows] = [not is_sampled(name, share) for name in ids.take(pa.array(rows)).to_pylist()]
    return left_out


def _feedback_faults(feedback: pa.Table, slates: pa.Table) -> Faults:
    place = pc.index_in(feedback["request_id"], value_set=slates["request_id"])
    owner = slates["user_id"].take(place)
    shown = _exposures(slates)
    return [
        ("event_id is null or empty", blank(feedback["event_id"])),
        ("timestamp is null", feedback["timestamp"].is_null().to_numpy()),
        ("request_id is null or empty", blank(feedback["request_id"])),
        ("request_id is not in the prediction log", place.is_null().to_numpy()),
        (
            "user_id is not the one of the request",
            pc.fill_null(pc.not_equal(owner, feedback["user_id"]), True).to_numpy(),
        ),
        (
            "item_id is not in the slate of the request",
            pc.invert(pc.is_in(_key(feedback), value_set=_key(shown))).to_numpy(),
        ),
    ]


def _once(rows: pa.Table, key: str) -> tuple[pa.Table, int]:
    """Rows in time order, of each key the first; how many were there again. Rows without a key all stay."""
    order = np.argsort(pc.fill_null(rows["timestamp"].cast(pa.int64()), 0).to_numpy(), kind="stable")
    rows = rows.take(pa.array(order))
    again = repeats(rows, [key]) & rows[key].is_valid().to_numpy()
    return rows.filter(pa.array(~again)), int(again.sum())


def _settled(slates: pa.Table, feedback: pa.Table, minutes: float) -> pa.ChunkedArray:
    """(rows,) bool: served so long before the newest row of either log."""
    newest = max(pc.max(table["timestamp"].cast(pa.int64())).as_py() or 0 for table in (slates, feedback))
    return pc.less_equal(slates["timestamp"].cast(pa.int64()), newest - int(minutes * 60_000))


def _exposures(slates: pa.Table) -> pa.Table:
    """One row an item of a slate, with its position from 1."""
    lists = slates["item_ids"].combine_chunks()
    row = pc.list_parent_indices(lists)
    lengths = pc.list_value_length(lists).to_numpy()
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return (
        slates.select(["request_id", "timestamp", "user_id", "surface"])
        .take(row)
        .append_column("item_id", pc.list_flatten(lists))
        .append_column("position", pa.array(place + 1))
    )


def _events(slates: pa.Table, feedback: pa.Table) -> tuple[pa.Table, int]:
    """Exposures with what became of them; how many of them have no feedback."""
    shown, received = _exposures(slates), _merged(feedback)
    place = pc.index_in(_key(shown), value_set=_key(received))
    found = received.select(SIGNALS).take(place)
    surface = pc.coalesce(shown["surface"], found["surface"])
    columns = {name: found[name] for name in SIGNALS} | {"surface": surface}
    own = {name: shown[name] for name in shown.column_names if name != "surface"}
    return pa.table({**own, **columns}), place.null_count


def _merged(feedback: pa.Table) -> pa.Table:
    """One row a request and item: of each signal the latest that is there, see `LARGEST`."""
    ordered = feedback.sort_by([("timestamp", "ascending"), ("event_id", "ascending")])
    ways = [(name, "max" if name in LARGEST else "last") for name in SIGNALS]
    # In one thread, or what comes last is left to chance.
    merged = ordered.group_by(list(KEY), use_threads=False).aggregate(ways)
    return merged.select([*KEY, *(f"{name}_{way}" for name, way in ways)]).rename_columns([*KEY, *SIGNALS])


def _key(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(table["request_id"], table["item_id"], "\0")
