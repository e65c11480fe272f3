"""The catalogue: sorted, checked, saved and loaded."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.catalog import Catalog, read_codes
from higr.errors import InputError
from higr.files import write_table


@st.composite
def catalogues(draw: st.DrawFn) -> Catalog:
    size, depth = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    code = st.tuples(*[st.integers(0, size - 1)] * depth)
    codes = draw(st.lists(code, min_size=1, max_size=min(30, size**depth), unique=True))
    return Catalog.build([f"i{n}" for n in range(len(codes))], np.array(codes), size)


@settings(max_examples=20, deadline=None)
@given(catalogues())
def test_saved_and_loaded_is_the_same(catalog: Catalog) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.parquet"
        catalog.save(path)
        loaded = Catalog.load(path)
    assert loaded.item_ids == catalog.item_ids
    assert np.array_equal(loaded.codes, catalog.codes)
    assert (loaded.codebook_size, loaded.tokenizer_id) == (catalog.codebook_size, catalog.tokenizer_id)


def test_items_stand_in_the_order_of_their_codes() -> None:
    catalog = Catalog.build(["x", "y", "z"], np.array([[1, 0], [0, 1], [0, 0]]), 2, "tok")
    assert catalog.item_ids == ("z", "y", "x")
    assert catalog.codes.tolist() == [[0, 0], [0, 1], [1, 0]]
    assert catalog.position == {"z": 0, "y": 1, "x": 2}
    assert catalog.code_tensor.tolist() == catalog.codes.tolist()
    assert (len(catalog), catalog.depth, catalog.tokenizer_id) == (3, 2, "tok")


def test_stand_ins_go_with_their_items_and_are_kept(tmp_path: Path) -> None:
    codes, stand_ins = np.array([[1, 0], [0, 1], [0, 0]]), np.array([[1, 0], [0, 0], [0, 0]])
    plain = Catalog.build(["x", "y", "z"], codes, 2)
    catalog = Catalog.build(["x", "y", "z"], codes, 2, stand_ins=stand_ins)
    assert catalog.stand_ins is not None
    assert catalog.stand_ins.tolist() == [[0, 0], [0, 0], [1, 0]]
    assert catalog.version != plain.version
    catalog.save(tmp_path / "catalog.parquet")
    loaded = Catalog.load(tmp_path / "catalog.parquet")
    assert np.array_equal(loaded.stand_ins, catalog.stand_ins)
    assert (loaded.codes.tolist(), loaded.version) == (catalog.codes.tolist(), catalog.version)
    assert read_codes(tmp_path / "catalog.parquet").tolist() == catalog.codes.tolist()
    trained = Catalog.build(["x", "y", "z"], codes, 2, stand_ins=codes)
    assert (trained.stand_ins, trained.version) == (None, plain.version)


@pytest.mark.parametrize("stand_ins", [[[0, 0]], [[0, 0], [0, 2]], [[0, 0], [-1, 0]], [[0], [0]]])
def test_stand_ins_of_another_shape_or_range_are_refused(stand_ins: list[list[int]]) -> None:
    with pytest.raises(InputError, match=r"stand-ins of shape .* one row of codes in 0..1 an item is due"):
        Catalog.build(["a", "b"], np.array([[0, 0], [0, 1]]), 2, stand_ins=np.array(stand_ins))


@pytest.mark.parametrize(
    ("items", "codes", "message"),
    [
        ([], np.zeros((0, 2)), "0 items with codes of shape"),
        (["a"], np.zeros((2, 2)), "1 items with codes of shape"),
        (["a", "a"], np.array([[0, 0], [0, 1]]), "1 duplicate item ids"),
        (["a", "b"], np.array([[0, 0], [0, 2]]), "codes span 0..2; codebook size 2"),
        (["a", "b"], np.array([[0, 0], [0, -1]]), "codes span -1..0"),
        (["a", "b", "c"], np.array([[0, 1], [0, 0], [0, 1]]), r"\[0, 1\] by items 'a' and 'c'"),
    ],
)
def test_build_refuses(items: list[str], codes: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        Catalog.build(items, codes, 2)
    assert "\n" not in str(error.value)


def test_load_refuses_what_is_no_catalogue(tmp_path: Path) -> None:
    path = tmp_path / "catalog.parquet"
    with pytest.raises(InputError, match="does not exist"):
        Catalog.load(path)
    write_table(path, pa.table({"item_id": ["a"], "code_1": [0]}))
    with pytest.raises(InputError, match="not a catalogue"):
        Catalog.load(path)
    Catalog.build(["a"], np.array([[0]]), 1).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a readable Parquet file"):
        Catalog.load(path)
