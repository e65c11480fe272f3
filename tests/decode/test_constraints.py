"""Constraints against plain enumeration of all items. Run: pytest tests/decode/test_constraints.py"""

import numpy as np
import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st

from higr.catalog import Catalog
from higr.decode.constraints import ConstraintReader
from higr.decode.request import Constraints, Prefix
from higr.eligibility import Eligibility, pick_items
from higr.errors import InputError
from higr.prefix_tree import Layout, PrefixTree
from tests.decode.plain import World, contradiction, eligible
from tests.trees import LAYOUTS, Code, catalogues

SLATE = 6


@st.composite
def worlds(draw: st.DrawFn, categories: int = 4) -> World:
    items = draw(catalogues())
    numbers = st.integers(0, len(items.codes) - 1)
    kind = st.one_of(st.none(), st.integers(0, categories - 1).map(str))
    known = draw(st.lists(kind, min_size=len(items.codes), max_size=len(items.codes)))
    sets = {name: frozenset(draw(st.sets(numbers, min_size=1))) for name in ("few", "some")}
    return World(items.codes, items.active, items.size, known, sets)


@st.composite
def constraints(draw: st.DrawFn, world: World, size: int) -> Constraints:
    """Any of the fields, alone or together; of pins, those that contradict nothing unless by chance."""
    depth = len(world.codes[0])
    chosen = draw(st.sets(st.sampled_from(["exclude", "allow", "blocked", "pinned", "prefix", "category"])))
    item = st.sampled_from(world.ids)
    prefix: st.SearchStrategy[Prefix] = st.one_of(
        st.builds(lambda code, length: code[:length], st.sampled_from(world.codes), st.integers(1, depth)),
        st.lists(st.integers(0, world.size - 1), min_size=1, max_size=depth).map(tuple),
    )
    return Constraints(
        exclude=draw(st.sets(item)) if "exclude" in chosen else (),
        allow=draw(st.sampled_from(sorted(world.sets))) if "allow" in chosen else None,
        blocked=tuple(draw(st.lists(prefix, max_size=3))) if "blocked" in chosen else (),
        pinned=draw(st.dictionaries(st.integers(1, size), st.one_of(item, prefix), max_size=4))
        if "pinned" in chosen
        else {},
        per_prefix=draw(st.dictionaries(st.integers(1, depth), st.integers(1, 3), max_size=2))
        if "prefix" in chosen
        else {},
        per_category=draw(st.integers(1, 3)) if "category" in chosen else None,
    )


@st.composite
def batches(draw: st.DrawFn) -> tuple[World, list[Constraints], list[int]]:
    world = draw(worlds())
    sizes = draw(st.lists(st.integers(1, SLATE), min_size=1, max_size=3))
    return world, [draw(constraints(world, size)) for size in sizes], sizes


def reader(world: World, layout: Layout = "auto") -> ConstraintReader:
    codes = np.array(world.codes, np.int32)
    priority = -np.arange(len(codes), dtype=np.float32)  # items of one semantic ID stay in this order
    catalog = Catalog.build(world.ids, codes, world.size, priority=priority)
    assert list(catalog.item_ids) == world.ids
    tree = PrefixTree(catalog.codes, world.size, np.array(world.active), layout)
    made = ConstraintReader(catalog, tree, world.categories)
    for name, numbers in world.sets.items():
        made.register(name, [world.ids[number] for number in numbers])
    return made


def enterable(asked: Eligibility, row: int) -> list[set[Code]]:
    """Prefixes of 1 .. D codes that a beam of this row can get to, walking from the root."""
    tree = asked.tree
    out: list[set[Code]] = []
    here: dict[int, Code] = {0: ()}
    for level in range(tree.depth):
        nodes = torch.tensor(sorted(here), dtype=torch.int32).expand(len(asked), -1)
        if not here:
            out.append(set())
            continue
        children = tree.children(level, nodes)
        dead = asked.dead(level, nodes, children)[row]  # (W, C)
        below = children.nodes.expand(len(asked), -1, -1)[row]
        code = tree.nodes[level + 1].code
        here = {
            int(below[beam, column]): (*here[node], int(code[below[beam, column]]))
            for beam, node in enumerate(sorted(here))
            for column in (~dead[beam]).nonzero()[:, 0].tolist()
        }
        out.append(set(here.values()))
    return out


def check_slates(world: World, rows: list[Constraints], sizes: list[int], layout: Layout, seed: int) -> None:
    """Fill slates with any eligible items and see at each position what may be entered and shown."""
    rng = np.random.default_rng(seed)
    asked = reader(world, layout).eligibility(rows, sizes)
    tree = asked.tree
    before: list[list[int | None]] = [[] for _ in rows]
    for _ in range(max(sizes)):
        chosen: list[int | None] = []
        for row, own in enumerate(rows):
            allowed = eligible(world, own, before[row])
            for depth, found in enumerate(enterable(asked, row), start=1):
                assert found == {world.codes[number][:depth] for number in allowed}
            leaves = {code: node for node, code in enumerate(leaf_codes(world))}
            for code in {world.codes[number] for number in allowed}:
                slot = pick_items(asked, torch.full((len(rows),), leaves[code]))[row]
                assert int(tree.catalog_positions(slot[None])[0]) == min(
                    number for number in allowed if world.codes[number] == code
                )
            chosen.append(int(rng.choice(sorted(allowed))) if allowed else None)
        places = [number for number, active in enumerate(world.active) if active]
        asked.strike(torch.tensor([tree.count if c is None else places.index(c) for c in chosen]))
        for row, number in enumerate(chosen):
            before[row].append(number)


def leaf_codes(world: World) -> list[Code]:
    return sorted({code for code, active in zip(world.codes, world.active, strict=True) if active})


@settings(max_examples=400, deadline=None)
@given(batch=batches(), layout=st.sampled_from(LAYOUTS), seed=st.integers(0, 10_000))
def test_at_every_position_what_may_be_entered_is_what_enumeration_finds(
    batch: tuple[World, list[Constraints], list[int]], layout: Layout, seed: int
) -> None:
    world, rows, sizes = batch
    sound = [
        (row, size) for row, size in zip(rows, sizes, strict=True) if not contradiction(world, row, size)
    ]
    event(f"{len(rows) - len(sound)} of {len(rows)} contradictory")
    if sound:
        check_slates(world, [row for row, _ in sound], [size for _, size in sound], layout, seed)


@settings(max_examples=300, deadline=None)
@given(batch=batches())
def test_contradictions_are_refused_and_nothing_else_is(
    batch: tuple[World, list[Constraints], list[int]],
) -> None:
    world, rows, sizes = batch
    made = reader(world)
    for row, size in zip(rows, sizes, strict=True):
        if contradiction(world, row, size):
            with pytest.raises(InputError):
                made.eligibility([row], [size])
        else:
            assert len(made.eligibility([row], [size])) == 1
