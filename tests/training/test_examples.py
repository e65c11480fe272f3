"""Run: pytest tests/training

A history longer than the window, a user without one, a slate shorter than M: what becomes of each.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from higr.catalog import Catalog
from higr.config import RunConfig
from higr.data.context import HistoryIndex
from higr.data.schemas import LABELLED_EVENTS, SLATES
from higr.model.inputs import PADDING, ProfileVocabulary
from higr.training.examples import Examples, build_examples

CATALOG = Catalog.build(["a", "b", "c", "d", "e"], np.array([[0, n] for n in range(5)]), 8)
START = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = RunConfig.model_validate({"model": {"history_length": 3}, "training": {"target_size": 4}})


def build(seen: list[str], shown: list[str]) -> Examples:
    """One user who engaged with `seen`, one an hour, and is then shown `shown` and engages with all."""
    times = [START + timedelta(hours=n) for n in range(len(seen) + 1)]
    events = {
        "user_id": ["u"] * len(seen),
        "item_id": seen,
        "timestamp": times[: len(seen)],
        "feedback": [2] * len(seen),
    }
    table = pa.table(
        {
            field.name: pa.array(events.get(field.name, [None] * len(seen)), field.type)
            for field in LABELLED_EVENTS
        }
    )
    slates = pa.table(
        {
            "slate_id": ["s"],
            "user_id": ["u"],
            "timestamp": [times[-1]],
            "history_cutoff": [times[-1]],
            "split": ["train"],
            "item_ids": [shown],
            "watch_seconds": [[1.0] * len(shown)],
            "strength": [[float(-n) for n in range(len(shown))]],
            "feedback": [[2] * len(shown)],
            "surface": [None],
        },
        schema=SLATES,
    )
    index = HistoryIndex.build(table, pa.table({"user_id": ["u"]}), CONFIG.data)
    return build_examples(slates, index, CATALOG, ProfileVocabulary({}), CONFIG)


@pytest.mark.parametrize(
    ("seen", "history"),
    [
        (["a", "b", "c", "d", "e"], [2, 3, 4]),
        (["a"], [PADDING, PADDING, 0]),
        ([], [PADDING, PADDING, PADDING]),
    ],
    ids=["longer than the window: the newest stay", "shorter", "none"],
)
def test_histories_of_any_length_become_one_window(seen: list[str], history: list[int]) -> None:
    made = build(seen, ["b", "c"])
    assert made.contexts.items.tolist() == [history]
    assert made.contexts.feedback.tolist() == [[0 if item == PADDING else 2 for item in history]]


@pytest.mark.parametrize(
    ("shown", "target"),
    [
        (["e"], [4, PADDING, PADDING, PADDING]),
        (["a", "b", "c", "d", "e"], [0, 1, 2, 3]),
    ],
    ids=["shorter than M: padded", "longer: the strongest stay"],
)
def test_slates_of_any_length_become_one_target(shown: list[str], target: list[int]) -> None:
    assert build(["a"], shown).targets.items.tolist() == [target]
