"""Small slate tables and catalogues for the tests of pairs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pyarrow as pa
import torch
from hypothesis import strategies as st

from higr.catalog import Catalog
from higr.config import PreferenceConfig, SignalConfig
from higr.data.schemas import ITEMS, LABELLED_EVENTS, SLATES, Feedback

START = datetime(2026, 1, 1, tzinfo=UTC)
CODES = np.array(list(product(range(4), repeat=3)))
CATALOG = Catalog.build([f"i{n}" for n in range(len(CODES))], CODES, 4)
CODEBOOKS = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4, 8)).astype(np.float32))

Shown = tuple[Sequence[str], Sequence[int], Sequence[float]]
"""Items, feedback, strength."""


def slate_table(rows: Sequence[Shown], days: Sequence[float] = ()) -> pa.Table:
    """Shown `days` after START, at START where there are none."""
    moments = [START + timedelta(days=day) for day in days] or [START] * len(rows)
    return pa.table(
        {
            "slate_id": [f"s{n}" for n in range(len(rows))],
            "user_id": ["u"] * len(rows),
            "timestamp": moments,
            "history_cutoff": moments,
            "split": ["train"] * len(rows),
            "item_ids": [row[0] for row in rows],
            "watch_seconds": [[1.0] * len(row[0]) for row in rows],
            "strength": [row[2] for row in rows],
            "feedback": [row[1] for row in rows],
            "surface": [None] * len(rows),
        },
        schema=SLATES,
    )


@st.composite
def slate_tables(draw: st.DrawFn) -> pa.Table:
    """Up to 12 slates; items may be unknown to the catalogue, or exposed twice."""
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        items = draw(st.lists(st.sampled_from([*CATALOG.item_ids, "gone"]), max_size=7))
        levels = [int(draw(st.sampled_from(list(Feedback)))) for _ in items]
        strength = [float(draw(st.integers(1, 5))) if f >= Feedback.ENGAGED else 0.0 for f in levels]
        rows.append((items, levels, strength))
    return slate_table(rows)


def items_table(rows: Sequence[dict]) -> pa.Table:
    full = [{"category": "c", **row} for row in rows]
    return pa.Table.from_pylist([{name: row.get(name) for name in ITEMS.names} for row in full], ITEMS)


def events_table(shown: Sequence[str]) -> pa.Table:
    """One exposure each, at START."""
    rows = [
        {"user_id": "u", "item_id": item, "timestamp": START, "feedback": 1, "strength": 0.0}
        for item in shown
    ]
    columns = LABELLED_EVENTS.names
    return pa.Table.from_pylist([{c: row.get(c) for c in columns} for row in rows], LABELLED_EVENTS)


def only(kind: str, **changes: object) -> PreferenceConfig:
    """One kind of negatives alone."""
    weights = {name: float(name == kind) for name in ("ranking", "interest", "diversity", "on_policy")}
    if kind not in weights:
        changes["signals"] = (SignalConfig(kind=kind, negative=1.0),)
    return PreferenceConfig(**{**weights, **changes})
