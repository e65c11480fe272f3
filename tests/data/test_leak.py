"""Whatever happens from the validation period on, nothing a model is fitted on changes by a byte."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from higr.baseline.incumbent import Incumbent
from higr.baseline.popularity import Popularity
from higr.config import BaselineConfig, DataConfig, SimulatorConfig
from higr.data import prepare as stage
from higr.data.context import HistoryIndex
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.data.raw import RawTables
from higr.data.simulator import load
from higr.data.splits import milliseconds
from higr.model.inputs import ProfileVocabulary
from higr.slate import UserContext
from higr.tokenizer.cooccurrence import count_pairs

FLAGS = ("liked", "shared", "disliked", "clicked", "long_view")


def config(mode: str, **fields: Any) -> DataConfig:
    world = SimulatorConfig(users=15, items=60, slates_per_user=6, days=7)
    return DataConfig(simulator=world, slates=mode, session_gap_minutes=30, **fields)


@cache
def clean(mode: str) -> tuple[RawTables, DataConfig, PreparedData]:
    """A world, the configuration with its periods written down, and what comes of it."""
    report = prepare(config(mode), seed=3).report
    limits = {name: datetime.fromisoformat(report[name]) for name in ("validation_start", "test_start")}
    fixed = config(mode, **limits)
    return load(fixed, 3), fixed, prepare(fixed, seed=3)


def poisoned(raw: RawTables, start: int, seed: int) -> RawTables:
    """Rows before `start` as they were, in their order; of the others none as it was."""
    rng = np.random.default_rng(seed)
    events, late = [], []
    for row in raw.events.to_pylist():
        moment = row["timestamp"]
        stamp = moment if isinstance(moment, int) else milliseconds(moment)
        (events if stamp < start else late).append(row | {"timestamp": stamp})
    early_requests = [row["request_id"] for row in events]
    items, last = raw.items["item_id"].to_pylist(), max(row["timestamp"] for row in late)
    changed = []
    for row in late:
        if rng.random() < 0.2:
            continue
        new = row | {
            "item_id": str(rng.choice(items)),
            "watch_seconds": float(rng.uniform(0, 100)),
            **{name: bool(rng.random() < 0.5) for name in FLAGS},
        }
        if rng.random() < 0.3:  # the request of a training slate goes on
            new["request_id"] = str(rng.choice(early_requests))
        if rng.random() < 0.2:
            new["user_id"] = "a newcomer"
        changed.append(new)
        if rng.random() < 0.5:
            changed.append(new | {"timestamp": int(rng.integers(start, last + 1))})
    changed.append(
        changed[0] | {"timestamp": start, "user_id": events[0]["user_id"]}
    )  # the very first moment
    changed.append(changed[0] | {"timestamp": last})
    where = np.sort(rng.integers(0, len(events) + 1, len(changed)))
    mixed = np.insert(np.array(events, dtype=object), where, np.array(changed, dtype=object))
    kinds = {"timestamp": pa.int64(), **dict.fromkeys(FLAGS, pa.bool_())}
    names = dict.fromkeys((*raw.events.column_names, *FLAGS))
    columns = {name: pa.array([row.get(name) for row in mixed], kinds.get(name)) for name in names}
    return RawTables(pa.table(columns), raw.items, raw.users)


def from_raw(raw: RawTables, fixed: DataConfig) -> PreparedData:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "SOURCES", {"simulator": lambda *_: raw})
        return prepare(fixed.model_copy(update={"max_bad_share": 0.9}), seed=3)


def contexts(data: PreparedData, fixed: DataConfig) -> list[UserContext]:
    return HistoryIndex.build(data.events, data.users, fixed).contexts(data.split("train"))


def as_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.take(pa.array(range(table.num_rows))).combine_chunks())  # no hidden offsets
    return sink.getvalue().to_pybytes()


def pairs(data: PreparedData, ids: Sequence[str]) -> list[bytes]:
    counts = count_pairs(data.train_events, ids, 5, data.split("train"))
    counts.sort_indices()
    return [part.tobytes() for part in (counts.indptr, counts.indices, counts.data)]


@pytest.mark.parametrize("mode", ["request", "session", "chunk"])
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6))
def test_training_inputs_do_not_know_the_future(mode: str, seed: int) -> None:
    raw, fixed, before = clean(mode)
    start = milliseconds(fixed.validation_start)
    after = from_raw(poisoned(raw, start, seed), fixed)
    assert as_bytes(after.split("validation")) != as_bytes(before.split("validation"))  # the poison works
    # Flags that the clean log lacks are null in it and null in the early rows of the other.
    assert as_bytes(after.train_events) == as_bytes(before.train_events)
    assert as_bytes(after.split("train")) == as_bytes(before.split("train"))
    assert contexts(after, fixed) == contexts(before, fixed)
    assert as_bytes(after.items) == as_bytes(before.items)
    ids = before.items["item_id"].to_pylist()
    assert pairs(after, ids) == pairs(before, ids)
    profiles = [
        ProfileVocabulary.fit(HistoryIndex.build(data.events, data.users, fixed).profiles)
        for data in (before, after)
    ]
    assert profiles[0] == profiles[1]


def test_fitted_baselines_do_not_know_the_future(tmp_path) -> None:
    raw, fixed, before = clean("request")
    after = from_raw(poisoned(raw, milliseconds(fixed.validation_start), 1), fixed)
    for name, data in (("before", before), ("after", after)):
        Incumbent.fit(data, contexts(data, fixed), BaselineConfig(trees=5), seed=0).save(tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "before") for path in (tmp_path / "before").rglob("*.*"))
    assert files
    for file in files:
        assert (tmp_path / "before" / file).read_bytes() == (tmp_path / "after" / file).read_bytes(), file
    shown = [Popularity.fit(data).recommend([UserContext("u")], 20) for data in (before, after)]
    assert shown[0] == shown[1]
