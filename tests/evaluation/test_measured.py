"""Values a slate on disk, and parts of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from higr.errors import InputError
from higr.evaluation.measured import Measured
from higr.files import write_table

MEASURED = Measured(
    np.array(["s0", "s1", "s2"]),
    np.array(["a", "b", "a"]),
    {"ndcg@5": np.array([0.5, np.nan, 0.0]), "recall@5": np.array([1.0, 0.0, 0.25])},
    {"new_users": np.array([True, False, True]), "nobody": np.zeros(3, bool)},
    {"coverage": 0.25, "gini": 0.5},
)


def same(left: Measured, right: Measured) -> None:
    assert left.slates.tolist() == right.slates.tolist()
    assert left.users.tolist() == right.users.tolist()
    assert left.values.keys() == right.values.keys()
    for metric, values in left.values.items():
        assert np.array_equal(values, right.values[metric], equal_nan=True)
    assert {n: v.tolist() for n, v in left.slices.items()} == {n: v.tolist() for n, v in right.slices.items()}
    assert left.totals == right.totals


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    MEASURED.save(tmp_path / "m.parquet")
    same(Measured.load(tmp_path / "m.parquet"), MEASURED)


def test_a_slice_holds_its_slates_only() -> None:
    got = MEASURED.within("new_users")
    assert got.slates.tolist() == ["s0", "s2"]
    assert got.users.tolist() == ["a", "a"]
    assert got.values["recall@5"].tolist() == [1.0, 0.25]
    assert got.totals == {}


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no slice 'cold'; there are"):
        MEASURED.within("cold")
    with pytest.raises(InputError, match="slice 'nobody' holds none of 3 slates"):
        MEASURED.within("nobody")
    with pytest.raises(InputError, match="does not exist"):
        Measured.load(tmp_path / "none.parquet")
    write_table(tmp_path / "other.parquet", pa.table({"slate_id": ["s"]}))
    with pytest.raises(InputError, match="does not hold values a slate"):
        Measured.load(tmp_path / "other.parquet")
