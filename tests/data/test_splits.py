"""Periods: by configuration, by share, and each event in exactly one."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.config import DataConfig
from higr.data.schemas import TIMESTAMP
from higr.data.splits import NAMES, boundaries, milliseconds
from higr.errors import InputError

BASE = 1_800_000_000_000


def events(stamps: list[int]) -> pa.Table:
    return pa.table({"timestamp": pa.array([BASE + s for s in stamps], TIMESTAMP)})


def test_latest_shares() -> None:
    config = DataConfig(validation_fraction=0.2, test_fraction=0.3)
    found = boundaries(events([9, 1, 2, 3, 0, 5, 6, 7, 8, 4]), config)
    assert milliseconds(found.validation_start) - BASE == 5
    assert milliseconds(found.test_start) - BASE == 7


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2027, 1, 15, 8, 0, 0, 5000),
        datetime(2027, 1, 15, 8, 0, 0, 5000, tzinfo=UTC),
        datetime(2027, 1, 15, 16, 0, 0, 5000, tzinfo=timezone(timedelta(hours=8))),
    ],
)
def test_configured_moments_of_any_zone(moment: datetime) -> None:
    assert milliseconds(moment) == BASE + 5
    config = DataConfig(validation_start=moment - timedelta(milliseconds=2), test_start=moment)
    found = boundaries(events(list(range(10))), config)
    assert found.test_start == datetime(2027, 1, 15, 8, 0, 0, 5000, tzinfo=UTC)
    stamps = events(list(range(10)))["timestamp"]
    assert [found.mask(stamps, name).to_pylist().count(True) for name in NAMES] == [3, 2, 5]


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=40, max_size=80, unique=True))
def test_every_event_in_exactly_one_period(stamps: list[int]) -> None:
    table = events(stamps)
    found = boundaries(table, DataConfig(validation_fraction=0.1, test_fraction=0.15))
    masks = [found.mask(table["timestamp"], name).to_pylist() for name in NAMES]
    assert [sum(row) for row in zip(*masks, strict=True)] == [1] * len(stamps)
    last = [max(s for s, inside in zip(stamps, mask, strict=True) if inside) for mask in masks]
    assert last == sorted(last)
    assert masks[2].count(True) == round(len(stamps) * 0.15)


@pytest.mark.parametrize("stamps", [[0] * 40, [0] * 39 + [1]])
def test_too_short_a_span(stamps: list[int]) -> None:
    with pytest.raises(InputError, match="a period holds no event"):
        boundaries(events(stamps), DataConfig())
