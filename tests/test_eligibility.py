"""Eligibility against sets of items. Run: pytest tests/test_eligibility.py"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.eligibility import Eligibility, EligibleMask, Exclusions, pick_items
from higr.errors import InputError
from higr.prefix_tree import Layout, PrefixTree
from tests.trees import LAYOUTS, Items, catalogues

KINDS = ("exclusions", "mask")


def eligibility(
    kind: str, tree: PrefixTree, items: Items, excluded: list[set[int]], strikes: int
) -> Eligibility:
    if kind == "exclusions":
        return Exclusions(tree, excluded, strikes)
    mask = torch.ones((len(excluded), len(items.codes)), dtype=torch.bool)
    for row, positions in enumerate(excluded):
        mask[row, list(positions)] = False
    return EligibleMask(tree, mask)


def live_prefixes(eligible: Eligibility, items: Items, level: int, row: int) -> set[tuple[int, ...]]:
    """Prefixes of depth level + 1 that a beam may enter, asked of all nodes of the level at once."""
    above, below = items.prefixes(level), items.prefixes(level + 1)
    nodes = torch.arange(len(above)).expand(len(eligible), -1)
    children = eligible.tree.children(level, nodes)
    dead = eligible.gate(level).dead(nodes, children)
    return {below[node] for node in children.nodes[row][~dead[row]].tolist()}


@st.composite
def requests(draw: st.DrawFn) -> tuple[Items, list[set[int]], int]:
    items = draw(catalogues())
    position = st.integers(0, len(items.codes) - 1)
    rows = draw(st.lists(st.sets(position, max_size=len(items.codes)), min_size=1, max_size=3))
    return items, rows, draw(st.integers(0, 10_000))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120, deadline=None)
@given(request=requests(), layout=st.sampled_from(LAYOUTS))
def test_a_subtree_is_dead_once_all_its_items_are_excluded(
    kind: str, request: tuple[Items, list[set[int]], int], layout: Layout
) -> None:
    items, rows, seed = request
    rng = np.random.default_rng(seed)
    tree = items.tree(layout)
    left = [sorted(set(items.positions()) - excluded) for excluded in rows]
    strikes = max(map(len, left))
    eligible = eligibility(kind, tree, items, rows, strikes)
    for _ in range(strikes + 1):
        for row, positions in enumerate(left):
            for level in range(items.depth):
                expected = {items.codes[position][: level + 1] for position in positions}
                assert live_prefixes(eligible, items, level, row) == expected
        slots = torch.arange(tree.count + 1).expand(len(rows), -1)
        assert eligible.has(slots)[:, :-1].tolist() == [
            [position in positions for position in items.positions()] for positions in left
        ]
        assert not eligible.has(slots)[:, -1].any()
        chosen = [rng.choice(positions) if positions else None for positions in left]
        if any(position is not None for position in chosen):
            eligible.strike(
                torch.tensor([tree.count if p is None else items.positions().index(p) for p in chosen])
            )
        left = [[p for p in positions if p != out] for positions, out in zip(left, chosen, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=80, deadline=None)
@given(request=requests(), scored=st.booleans())
def test_a_shared_id_gives_its_best_eligible_item(
    kind: str, request: tuple[Items, list[set[int]], int], scored: bool
) -> None:
    items, rows, seed = request
    tree = items.tree()
    eligible = eligibility(kind, tree, items, rows, 0)
    scores = np.random.default_rng(seed).permutation(len(items.codes)).astype(np.float32) - 15.0
    for leaf, code in enumerate(items.prefixes(items.depth)):
        slots = pick_items(
            eligible, torch.full((len(rows),), leaf), torch.from_numpy(scores) if scored else None
        )
        for row, position in enumerate(tree.catalog_positions(slots).tolist()):
            candidates = [p for p in items.positions() if items.codes[p] == code and p not in rows[row]]
            if candidates:
                assert position == (max(candidates, key=lambda p: scores[p]) if scored else candidates[0])


def test_the_more_exclusions_the_higher_the_subtrees_that_can_die() -> None:
    codes = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]])
    tree = PrefixTree(codes, 3)
    root = torch.zeros((1, 1), dtype=torch.int64)
    for excluded, alive in (([], [0, 1]), ([3, 4], [0, 1]), ([3, 4, 5], [0]), (range(6), [])):
        children = tree.children(0, root)
        dead = Exclusions(tree, [excluded], 0).gate(0).dead(root, children)
        assert (~dead[0, 0]).nonzero()[:, 0].tolist() == alive


def test_repeated_and_inactive_exclusions_count_once_and_not_at_all() -> None:
    codes = np.array([[0, 0], [0, 1], [1, 0]])
    tree = PrefixTree(codes, 2, np.array([True, True, False]))
    root = torch.zeros((1, 1), dtype=torch.int64)
    children = tree.children(0, root)
    assert not Exclusions(tree, [[0, 0, 2, 2]], 0).gate(0).dead(root, children)[0, 0, 0]


def test_one_strike_too_many_is_refused() -> None:
    eligible = Exclusions(PrefixTree(np.array([[0], [1]]), 2), [[]], 1)
    eligible.strike(torch.tensor([0]))
    with pytest.raises(InputError, match="no strikes are left"):
        eligible.strike(torch.tensor([1]))


def test_a_mask_of_another_catalogue_is_refused() -> None:
    with pytest.raises(InputError, match="mask over 3 items for a catalogue of 2"):
        EligibleMask(
            PrefixTree(np.array([[0], [1]]), 2, np.array([True, False])), torch.ones((1, 3), dtype=torch.bool)
        )


@settings(max_examples=80, deadline=None)
@given(request=requests(), layout=st.sampled_from(LAYOUTS))
def test_rows_taken_are_those_rows_and_go_their_own_way(
    request: tuple[Items, list[set[int]], int], layout: Layout
) -> None:
    items, rows, seed = request
    tree = items.tree(layout)
    source = Exclusions(tree, rows, strikes=1)
    order = np.random.default_rng(seed).integers(0, len(rows), 4)
    taken = source.take(torch.from_numpy(order))
    allowed = [sorted(set(items.positions()) - rows[row]) for row in order]
    struck = [positions[0] if positions else None for positions in allowed]

    def check(eligible: Exclusions, left: list[list[int]]) -> None:
        for row, positions in enumerate(left):
            for level in range(items.depth):
                expected = {items.codes[position][: level + 1] for position in positions}
                assert live_prefixes(eligible, items, level, row) == expected

    check(taken, allowed)
    if any(position is not None for position in struck):
        taken.strike(torch.tensor([tree.count if p is None else items.positions().index(p) for p in struck]))
    check(taken, [positions[1:] for positions in allowed])
    check(source, [sorted(set(items.positions()) - row) for row in rows])
