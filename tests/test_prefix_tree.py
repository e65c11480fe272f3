"""The prefix tree against the tuples it was built from. Run: pytest tests/test_prefix_tree.py"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr import prefix_tree
from higr.errors import InputError
from higr.prefix_tree import Layout, PrefixTree
from tests.trees import LAYOUTS, Code, Items, catalogues


def children_of(tree: PrefixTree, level: int, node: int) -> list[tuple[int, int, int]]:
    """(column, code, child) of each child of one node."""
    found = tree.children(level, torch.tensor([[node]]))
    columns = found.nodes.shape[2]
    codes = torch.arange(columns) if found.codes is None else found.codes[0, 0]
    return [
        (column, int(codes[column]), int(found.nodes[0, 0, column]))
        for column in range(columns)
        if not found.missing[0, 0, column]
    ]


@settings(max_examples=100, deadline=None)
@given(catalogues(), st.sampled_from(LAYOUTS))
def test_the_way_down_finds_every_prefix_once_and_in_order(items: Items, layout: Layout) -> None:
    tree = items.tree(layout)
    nodes: list[tuple[Code, int]] = [((), 0)]
    for level in range(items.depth):
        nodes = [
            ((*prefix, code), child)
            for prefix, node in nodes
            for _, code, child in children_of(tree, level, node)
        ]
        assert nodes == [(prefix, number) for number, prefix in enumerate(items.prefixes(level + 1))]


@settings(max_examples=100, deadline=None)
@given(catalogues(), st.sampled_from(LAYOUTS))
def test_the_way_up_leads_from_every_item_over_its_prefixes(items: Items, layout: Layout) -> None:
    tree, positions = items.tree(layout), items.positions()
    slots = tree.slots(torch.arange(len(items.codes)))
    assert slots.tolist() == [
        positions.index(position) if active else len(positions)
        for position, active in enumerate(items.active)
    ]
    assert tree.catalog_positions(torch.arange(len(positions))).tolist() == positions
    nodes = tree.leaves(torch.arange(len(positions)))
    for depth in range(items.depth, 0, -1):
        prefixes = [items.codes[position][:depth] for position in positions]
        assert nodes.tolist() == [items.prefixes(depth).index(prefix) for prefix in prefixes]
        parents, columns, sizes = tree.facts(depth, nodes).unbind(1)
        assert sizes.tolist() == [prefixes.count(prefix) for prefix in prefixes]
        for parent, node, column in zip(parents, nodes, columns, strict=True):
            assert (int(column), int(node)) in [
                (at, child) for at, _, child in children_of(tree, depth - 1, int(parent))
            ]
        nodes = parents
    assert not nodes.any()


@settings(max_examples=50, deadline=None)
@given(catalogues(), st.sampled_from(LAYOUTS))
def test_nowhere_has_no_item_no_child_and_nowhere_above_it(items: Items, layout: Layout) -> None:
    tree = items.tree(layout)
    nowhere = tree.leaves(torch.tensor([tree.count]))
    for depth in range(items.depth, -1, -1):
        assert nowhere.tolist() == [tree.nodes[depth].count]
        if 0 < depth < items.depth:
            assert children_of(tree, depth, int(nowhere)) == []
        if depth:
            above = tree.nodes[depth - 1].count
            assert tree.facts(depth, nowhere).tolist() == [[above, 0, 0]]
            nowhere = torch.tensor([above])
    assert 0 <= int(tree.catalog_positions(torch.tensor([tree.count]))) < len(items.codes)


@settings(max_examples=50, deadline=None)
@given(catalogues())
def test_facts_of_a_depth(items: Items) -> None:
    tree = items.tree()
    assert (tree.nodes[-1].items is None) == (len(items.prefixes(items.depth)) == tree.count)
    for depth in range(items.depth + 1):
        prefixes = [items.codes[position][:depth] for position in items.positions()]
        held = [prefixes.count(prefix) for prefix in items.prefixes(depth)]
        nodes = tree.nodes[depth]
        if depth:
            assert (nodes.smallest, nodes.largest) == (min(held, default=0), max(held, default=0))
        if depth < items.depth:
            below = [prefix[:-1] for prefix in items.prefixes(depth + 1)]
            assert nodes.widest == max((below.count(prefix) for prefix in set(below)), default=0)


@pytest.mark.parametrize(
    ("codes", "size", "budget", "expected"),
    [
        ([[0, 0], [0, 1], [1, 0], [1, 1]], 2, 2**20, ["dense", "dense"]),
        ([[0, 0], [0, 1], [1, 0], [1, 1]], 2, 4 * 2 * 2, ["dense", "csr"]),  # two rows fit, three do not
        ([[0, 0], [0, 1], [1, 0], [1, 1]], 2, 0, ["csr", "csr"]),
        ([[0, 0], [0, 1], [1, 0], [1, 1]], 512, 2**20, ["dense", "dense"]),
        ([[0, 0], [0, 1], [1, 0], [1, 1]], 513, 2**20, ["csr", "csr"]),  # two children of so many codes
        ([[0, code] for code in range(150)], 600, 2**20, ["csr", "dense"]),  # a quarter of the codes
        ([[0, code] for code in range(149)], 600, 2**20, ["csr", "csr"]),
    ],
)
def test_a_depth_is_dense_where_the_table_fits_and_is_filled(
    codes: list[list[int]], size: int, budget: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix_tree, "DENSE_BYTES", budget)
    assert PrefixTree(np.array(codes), size).layouts == expected
    assert PrefixTree(np.array(codes), size, layout="dense").layouts == ["dense", "dense"]
    assert PrefixTree(np.array(codes), size, layout="csr").layouts == ["csr", "csr"]


@pytest.mark.parametrize("codes", [[[1, 0], [0, 1]], [[0, 1], [0, 0]], [[0, 0], [1, 1], [1, 0]]])
def test_codes_out_of_order_are_refused(codes: list[list[int]]) -> None:
    with pytest.raises(InputError, match="not in lexicographic order at level"):
        PrefixTree(np.array(codes), 2)


def test_a_tree_without_active_items_has_a_root_and_nothing_below() -> None:
    tree = PrefixTree(np.array([[0, 1]]), 2, np.array([False]))
    assert [nodes.count for nodes in tree.nodes] == [1, 0, 0]
    assert children_of(tree, 0, 0) == []
    assert tree.slots(torch.tensor([0])).tolist() == [0] == [tree.count]
