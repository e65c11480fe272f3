"""Counts by hour and block: sums worked out by hand, whatever the batches."""

import numpy as np
import pytest

from monitoring.tally import BLOCKS, Places, Tally, summed

DAY = 20_000 * 24


def places(hours: list[int], blocks: list[int]) -> Places:
    return Places(np.array(hours, dtype=np.int64), np.array(blocks, dtype=np.int64))


def rows(tally: Tally) -> set[tuple[object, ...]]:
    return {tuple(row.values()) for row in tally.table().to_pylist()}


def test_counts_and_totals_by_hour_block_and_cell() -> None:
    tally = Tally()
    where = places([DAY, DAY, DAY + 1, DAY + 1], [0, 0, 3, 3])
    tally.add("colour", where, np.array([0, 1, 1, 1]), ["red", "blue"])
    tally.add("length", where, values=np.array([1.0, 2.0, np.nan, 4.0]))
    assert rows(tally) == {
        (DAY, 0, "colour", "red", 1, 0.0),
        (DAY, 0, "colour", "blue", 1, 0.0),
        (DAY + 1, 3, "colour", "blue", 2, 0.0),
        (DAY, 0, "length", "", 2, 3.0),
        (DAY + 1, 3, "length", "", 1, 4.0),
    }


def test_coarse_columns_have_the_day_and_no_block() -> None:
    tally = Tally()
    tally.add("item", places([DAY + 5, DAY + 30], [4, 9]), np.array([0, 0]), ["a"], coarse=True)
    assert rows(tally) == {(DAY, 0, "item", "a", 1, 0.0), (DAY + 24, 0, "item", "a", 1, 0.0)}


@pytest.mark.parametrize("pieces", [1, 7, 120], ids=["one batch", "a few", "more than are held"])
def test_batches_add_up_to_the_same(pieces: int) -> None:
    rng = np.random.default_rng(0)
    hour, block = rng.integers(DAY, DAY + 48, 1200), rng.integers(0, BLOCKS, 1200)
    cell, value = rng.integers(0, 5, 1200), rng.integers(0, 9, 1200).astype(float)
    whole, parts = Tally(), Tally()
    whole.add("c", Places(hour, block), cell, list("abcde"), value)
    for part in np.array_split(np.arange(1200), pieces):
        # Each batch has its own labels, in an order of its own.
        parts.add("c", Places(hour[part], block[part]), 4 - cell[part], list("edcba"), value[part])
    assert rows(parts) == rows(whole)
    assert summed([whole.table()]).num_rows == whole.table().num_rows
    assert sum(row["n"] for row in summed([whole.table(), parts.table()]).to_pylist()) == 2400


def test_more_keys_than_fit_a_dense_count() -> None:
    tally, dense = Tally(), Tally()
    hour = np.array([DAY, DAY + 24 * 400, DAY])
    labels = [str(i) for i in range(3000)]
    tally.add(
        "c", Places(hour, np.zeros(3, np.int64)), np.array([2999, 7, 2999]), labels, np.array([1.0, 2, 3])
    )
    dense.add(
        "c", Places(hour, np.zeros(3, np.int64)), np.array([1, 0, 1]), ["7", "2999"], np.array([1.0, 2, 3])
    )
    assert rows(tally) == rows(dense) == {(DAY, 0, "c", "2999", 2, 4.0), (DAY + 9600, 0, "c", "7", 1, 2.0)}


def test_nothing_is_an_empty_table() -> None:
    tally = Tally()
    tally.add("c", places([], []))
    assert tally.table().num_rows == 0
