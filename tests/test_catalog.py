"""Catalogue and prefix tree against brute force."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.catalog import Catalog
from higr.errors import InputError
from higr.files import write_table
from higr.prefix_tree import PrefixTree


@st.composite
def catalogues(draw: st.DrawFn) -> Catalog:
    size, depth = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    code = st.tuples(*[st.integers(0, size - 1)] * depth)
    codes = draw(st.lists(code, min_size=1, max_size=min(30, size**depth), unique=True))
    return Catalog.build([f"i{n}" for n in range(len(codes))], np.array(codes), size)


def walk(tree: PrefixTree, depth: int) -> list[tuple[tuple[int, ...], int, int]]:
    """Every node of a depth as (prefix, first item, past the last), found through children alone."""
    nodes: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    for level in range(depth):
        children = tree.levels[level].children.tolist()
        below = tree.levels[level + 1].code.tolist()
        nodes = [(c, (*p, below[c])) for n, p in nodes for c in range(children[n], children[n + 1])]
    items = tree.levels[depth].items.tolist()
    return [(prefix, items[node], items[node + 1]) for node, prefix in nodes]


@settings(max_examples=80, deadline=None)
@given(catalogues())
def test_tree_against_brute_force(catalog: Catalog) -> None:
    codes = [tuple(code) for code in catalog.codes.tolist()]
    for depth in range(catalog.depth + 1):
        expected: dict[tuple[int, ...], list[int]] = {}
        for position, code in enumerate(codes):
            expected.setdefault(code[:depth], []).append(position)
        found = walk(catalog.tree, depth)
        assert {prefix: list(range(low, high)) for prefix, low, high in found} == expected
        assert [prefix for prefix, _, _ in found] == sorted(expected)
        assert len(catalog.tree.levels[depth].code) == len(expected)
        if depth < catalog.depth:
            widest = max(len({code[depth] for code in codes if code[:depth] == p}) for p in expected)
            assert catalog.tree.max_children[depth] == widest
    assert catalog.tree.levels[-1].children.diff().sum() == 0


@settings(max_examples=40, deadline=None)
@given(catalogues(), st.data())
def test_eligibility_of_a_node_is_a_difference_of_prefix_sums(catalog: Catalog, data: st.DataObject) -> None:
    excluded = data.draw(st.sets(st.sampled_from([*catalog.item_ids, "unknown"])))
    mask = catalog.eligible(excluded)
    assert [item for item, free in zip(catalog.item_ids, mask.tolist(), strict=True) if not free] == [
        item for item in catalog.item_ids if item in excluded
    ]
    total = np.append(0, mask.numpy().cumsum())
    for depth, level in enumerate(catalog.tree.levels):
        edges = level.items.numpy()
        for (prefix, _, _), count in zip(
            walk(catalog.tree, depth), total[edges[1:]] - total[edges[:-1]], strict=True
        ):
            held = [
                item
                for item, code in zip(catalog.item_ids, catalog.codes.tolist(), strict=True)
                if tuple(code[:depth]) == prefix and item not in excluded
            ]
            assert count == len(held)


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
