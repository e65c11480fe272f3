"""Random requests with constraints, and what reads them."""

import numpy as np
from hypothesis import strategies as st

from higr.catalog import Catalog
from higr.decode.constraints import ConstraintReader
from higr.decode.request import Constraints, Prefix
from higr.prefix_tree import Layout, PrefixTree
from tests.decode.plain import World
from tests.trees import catalogues

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


def catalog_of(world: World) -> Catalog:
    codes = np.array(world.codes, np.int32)
    priority = -np.arange(len(codes), dtype=np.float32)  # items of one semantic ID stay in this order
    catalog = Catalog.build(world.ids, codes, world.size, priority=priority)
    assert list(catalog.item_ids) == world.ids
    return catalog


def reader(world: World, layout: Layout = "auto") -> ConstraintReader:
    catalog = catalog_of(world)
    tree = PrefixTree(catalog.codes, world.size, np.array(world.active), layout)
    made = ConstraintReader(catalog, tree, world.categories)
    for name, numbers in world.sets.items():
        made.register(name, [world.ids[number] for number in numbers])
    return made


# Six items under two first codes; the last is disabled.
SMALL = World(
    [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 2)],
    [True, True, True, True, True, False],
    3,
    ["a", "a", "b", "b", None, "b"],
    {"ones": frozenset({3, 4})},
)
