"""Features worked out by hand, and that no training pair sees its own label."""

import numpy as np
import pyarrow as pa
import pytest

from higr.baseline.features import FEATURES, PRIOR_EVENTS, ItemStatistics
from higr.baseline.items import ItemArrays
from higr.baseline.stages import Stages
from tests.baseline.worlds import context, events_table, items_table

ITEMS = {"a": "x", "b": "x", "c": "y", "d": "z"}
EVENTS = [
    ("u", "a", 0, 2),
    ("u", "b", 1, 2),
    ("v", "a", 2, 3),
    ("v", "c", 3, 1),
    ("w", "a", 4, 0),
    ("w", "unknown", 5, 2),
]


@pytest.fixture(scope="module")
def stages() -> Stages:
    return Stages.fit(ItemArrays.of(items_table(ITEMS)), events_table(EVENTS), keep=10)


def test_item_features(stages: Stages) -> None:
    overall = (3 + 1) / (5 + 2)  # three engaged of five known events, smoothed by one of two
    assert stages.overall_rate == pytest.approx(overall)
    mean_strength = (2 + 2 + 3) / 5
    expected = {
        0: (np.log1p(2 / 0.75), (2 + PRIOR_EVENTS * overall) / (3 + PRIOR_EVENTS), 5, 3),
        1: (np.log1p(1 / 0.75), (1 + PRIOR_EVENTS * overall) / (1 + PRIOR_EVENTS), 2, 1),
        2: (0.0, PRIOR_EVENTS * overall / (1 + PRIOR_EVENTS), 0, 1),
        3: (0.0, overall, 0, 0),
    }
    for item, (popularity, rate, strength, exposed) in expected.items():
        smoothed = (strength + PRIOR_EVENTS * mean_strength) / (exposed + PRIOR_EVENTS)
        created = (2026 - 1970) * 365 + 14  # days to 1 January 2026
        row = (popularity, rate, smoothed, np.log1p(10.0), created)
        assert stages.item_features[item] == pytest.approx(row, rel=1e-5)


def test_pair_features(stages: Stages) -> None:
    batch = stages.prepare([context("u", [("b", 2), ("c", 1), ("a", 2)]), context("new", [])])
    got = stages.features(batch, np.array([0, 0, 1]), np.array([1, 3, 1]))
    rows = [dict(zip(FEATURES, row, strict=True)) for row in got.tolist()]
    base = stages.overall_rate
    rate = (2 + 2 * base) / (3 + 2)
    near, far, new = rows
    cosine = 1 / np.sqrt(2 * 1)  # users of a: u, v; of b: u
    assert near["similarity_total"] == near["similarity_best"] == pytest.approx(cosine)
    assert near["similarity_age"] == 0
    assert near["category_share"] == 1.0
    assert near["category_rate"] == pytest.approx((2 + 2 * rate) / (2 + 2))
    assert near["creator_engaged"] == 2
    assert near["seen"] == 1
    assert near["history_length"] == 3
    assert near["history_rate"] == pytest.approx(rate)
    assert far["similarity_total"] == far["category_share"] == far["creator_engaged"] == far["seen"] == 0
    assert np.isnan(far["similarity_age"])
    assert far["category_rate"] == pytest.approx(rate)
    assert new["history_length"] == 0
    assert new["history_rate"] == pytest.approx(base)


def test_creator_unknown_is_missing_and_matches_no_other_unknown() -> None:
    table = items_table(ITEMS)
    column = table.column_names.index("creator_id")
    table = table.set_column(column, table.schema.field(column), pa.nulls(4, pa.string()))
    stages = Stages.fit(ItemArrays.of(table), events_table(EVENTS), keep=10)
    got = stages.features(stages.prepare([context("u", [("a", 2)])]), np.array([0]), np.array([1]))
    row = dict(zip(FEATURES, got[0].tolist(), strict=True))
    assert np.isnan(row["creator_engaged"])
    assert np.isnan(row["creator_rate"])


def test_no_events_give_finite_features() -> None:
    items = ItemArrays.of(items_table(ITEMS))
    nothing = ItemStatistics.of(events_table([]), np.empty(0, np.int64), 4)
    assert nothing.overall_rate == 0.5
    assert np.isfinite(nothing.item_features(items)).all()
