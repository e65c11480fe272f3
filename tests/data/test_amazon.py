"""Run: pytest tests/data"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from higr.config import DataConfig
from higr.data import amazon
from higr.data.prepare import prepare
from higr.errors import InputError

DAY = 16_000 * 86_400
"""Seconds to a day in October 2013."""


def write(folder: Path, **columns: list[int]) -> str:
    """Users 1 and 2 interleaved; user 1 buys 7, 5, 6 on one day."""
    rows = {
        "user_id": [1, 2, 1, 1, 1],
        "item_id": [7, 7, 5, 6, 7],
        "timestamp": [DAY, DAY + 86_400 * 2, DAY, DAY, DAY + 86_400],
    } | columns
    pq.write_table(pa.table(rows), folder / "toy.inter.parquet")
    items = pa.table({"item_id": [5, 6, 7], "title": ["soap", None, "towel"]})
    pq.write_table(items, folder / "toy.items.parquet")
    return str(folder / "toy")


def test_purchases_of_a_day_keep_their_order(tmp_path: Path) -> None:
    raw = amazon.load(DataConfig(source="amazon", path=write(tmp_path)), 0)
    first = 1000 * DAY
    assert raw.events["timestamp"].to_pylist() == [
        first,
        first + 2 * 86_400_000,
        first + 1,
        first + 2,
        first + 86_400_000,
    ]
    assert raw.events["clicked"].to_pylist() == [True] * 5
    assert raw.items["text"].to_pylist() == ["soap", None, "towel"]


def test_prepared_slates_hold_purchases_in_order(tmp_path: Path) -> None:
    config = DataConfig.model_validate(
        {
            "source": "amazon",
            "path": write(tmp_path),
            "engagement": {"effective_view": "clicked"},
            "slates": "chunk",
            "min_slate_size": 1,
            "validation_start": "2013-10-23T00:00:00Z",
            "test_start": "2013-10-24T00:00:00Z",
        }
    )
    data = prepare(config, 0)
    slates = {name: data.split(name)["item_ids"].to_pylist() for name in ("train", "validation", "test")}
    assert slates == {"train": [["7", "5", "6"]], "validation": [["7"]], "test": [["7"]]}


def test_rows_without_a_moment_are_put_aside(tmp_path: Path) -> None:
    path = write(tmp_path, timestamp=[DAY, None, DAY, DAY, DAY + 86_400])  # type: ignore[list-item]
    raw = amazon.load(DataConfig(source="amazon", path=path), 0)
    assert raw.events["timestamp"].to_pylist()[1] is None


def test_a_missing_set_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere/toy\.inter\.parquet does not exist"):
        amazon.load(DataConfig(source="amazon", path="nowhere/toy"), 0)
