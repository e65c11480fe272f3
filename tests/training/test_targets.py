"""Run: pytest tests/training"""

import numpy as np
import pyarrow as pa
import pytest

from higr.catalog import Catalog
from higr.config import TrainingConfig
from higr.data.schemas import SLATES
from higr.training.targets import PADDING, build_targets

CATALOG = Catalog.build(["a", "b", "c", "d", "e"], np.array([[0, n] for n in range(5)]), 8)


def slates(*rows: tuple[list[str], list[int], list[float]]) -> pa.Table:
    return pa.table(
        {
            "slate_id": [f"s{n}" for n in range(len(rows))],
            "user_id": ["u"] * len(rows),
            "timestamp": [0] * len(rows),
            "history_cutoff": [0] * len(rows),
            "split": ["train"] * len(rows),
            "item_ids": [row[0] for row in rows],
            "watch_seconds": [[0.0] * len(row[0]) for row in rows],
            "strength": [row[2] for row in rows],
            "feedback": [row[1] for row in rows],
            "surface": [None] * len(rows),
        },
        schema=SLATES,
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [2, 0, PADDING]),
        ({"pad_with_exposed": True}, [2, 0, 1]),
        ({"target_size": 1}, [2]),
    ],
)
def test_engaged_items_come_strongest_first(settings: dict, expected: list[int]) -> None:
    table = slates((["a", "b", "c", "d"], [2, 1, 3, 0], [1.0, 0.0, 2.5, 0.0]))
    config = TrainingConfig(**{"target_size": 3, **settings})
    assert build_targets(table, CATALOG, config).items.tolist() == [expected]


def test_slates_with_too_little_engagement_or_unknown_items_give_no_target() -> None:
    table = slates(
        (["a", "b"], [1, 0], [0.0, 0.0]),
        (["gone", "b"], [2, 1], [1.0, 0.0]),
        (["a", "b", "c"], [2, 2, 1], [1.0, 1.0, 0.0]),
    )
    one = build_targets(table, CATALOG, TrainingConfig(target_size=2))
    assert one.rows.tolist() == [2]
    assert one.items.tolist() == [[0, 1]]
    assert len(build_targets(table, CATALOG, TrainingConfig(min_engaged=3))) == 0
