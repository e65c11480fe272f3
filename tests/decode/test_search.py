"""The beam search of engine `cpu` against that in torch. Run: pytest tests/decode/test_search.py"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from higr.catalog import Catalog
from higr.decode.beam import advance, beam_search
from higr.decode.constraints import ConstraintReader
from higr.decode.engines.int8 import Int8HiGR
from higr.decode.engines.native import Scratch
from higr.decode.engines.search import Kernels
from higr.decode.request import Constraints
from higr.decode.slate import ItemStep, item_search
from higr.eligibility import Eligibility, EligibleMask, Exclusions, pick_items
from higr.errors import InputError
from higr.model.inputs import encode_contexts
from higr.prefix_tree import Layout, PrefixTree
from higr.stand_ins import find_stand_ins
from tests.decode.plain import World, contradiction
from tests.decode.random_requests import SLATE, batches, catalog_of, reader
from tests.decode.test_slate import random_context, random_model
from tests.tools import require_int8_kernels
from tests.trees import LAYOUTS, Code, Items, catalogues


@pytest.fixture(autouse=True, scope="module")
def kernels() -> Kernels:
    require_int8_kernels()
    return Kernels(Scratch())


def spread_of(diversity: float | None, rows: int) -> Tensor | None:
    """(B, 1) another one a row, beside other settings in memory as in `Draws`."""
    if diversity is None:
        return None
    return torch.tensor([[9.0, diversity * (1 + row)] for row in range(rows)]).split(1, dim=1)[1]


def check_steps(
    kernels: Kernels,
    eligibility: Eligibility,
    codebook_size: int,
    width: int,
    generator: torch.Generator,
    discount: float = 0.0,
    spread: Tensor | None = None,
) -> Tensor:
    """From the root to the leaves by both, each step from where torch left off. Returns leaves (B,)."""
    rows = len(eligibility)
    nodes, scores = torch.zeros((rows, 1), dtype=torch.int32), torch.zeros((rows, 1))
    for level in range(eligibility.tree.depth):
        logits = 3 * torch.randn((*nodes.shape, codebook_size), generator=generator)
        step = (eligibility, level, nodes, scores, logits, width, discount, spread)
        due, found = advance(*step), kernels.advance(*step)
        torch.testing.assert_close(found[0], due[0], atol=1e-5, rtol=1e-5)
        there = due[0] > -torch.inf
        for expected, got in zip(due[1:], found[1:], strict=True):
            assert got.dtype == expected.dtype
            assert got[there].tolist() == expected[there].tolist()
        scores, _, nodes, _ = due
    return nodes[:, 0].long().where(scores[:, 0] > -torch.inf, -1)


@settings(max_examples=200, deadline=None)
@given(
    batch=batches(),
    layout=st.sampled_from(LAYOUTS),
    width=st.integers(1, 12),
    diversity=st.sampled_from([None, 0.0, 0.7]),
    seed=st.integers(0, 10_000),
)
def test_every_step_under_constraints_keeps_the_same_beams(
    kernels: Kernels,
    batch: tuple[World, list[Constraints], list[int]],
    layout: Layout,
    width: int,
    diversity: float | None,
    seed: int,
) -> None:
    world, rows, sizes = batch
    sound = [(r, s) for r, s in zip(rows, sizes, strict=True) if not contradiction(world, r, s)]
    if not sound:
        return
    asked = reader(world, layout).eligibility([row for row, _ in sound], [size for _, size in sound])
    spread = spread_of(diversity, len(sound))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(max(size for _, size in sound)):
        leaves = check_steps(kernels, asked, world.size, width, generator, spread=spread)
        slots = pick_items(asked, leaves.clamp(min=0))
        asked.strike(torch.where(leaves >= 0, slots, asked.tree.count))


@settings(max_examples=100, deadline=None)
@given(
    items=catalogues(),
    layout=st.sampled_from(LAYOUTS),
    masked=st.booleans(),
    seed=st.integers(0, 10_000),
    discount=st.sampled_from([0.0, 0.5]),
)
def test_new_items_are_asked_for_by_their_stand_ins(
    kernels: Kernels, items: Items, layout: Layout, masked: bool, seed: int, discount: float
) -> None:
    rng = np.random.default_rng(seed)
    codes = np.array(items.codes)
    trained = codes[rng.random(len(codes)) < 0.5]
    stand_ins = find_stand_ins(
        codes, trained if len(trained) else codes[:1], rng.normal(size=(items.depth, items.size, 2))
    )
    tree = PrefixTree(codes, items.size, np.array(items.active), layout, stand_ins)
    mask = torch.from_numpy(rng.random((2, len(codes))) < 0.7)
    eligible: Eligibility = (
        EligibleMask(tree, mask)
        if masked
        else Exclusions(tree, [(~row).nonzero()[:, 0].tolist() for row in mask], strikes=0)
    )
    generator = torch.Generator().manual_seed(seed)
    nodes, scores = torch.zeros((2, 1), dtype=torch.int32), torch.zeros((2, 1))
    for level in range(tree.depth):
        logits = torch.randn((*nodes.shape, items.size), generator=generator)
        step = (eligible, level, nodes, scores, logits, len(codes) + 1, discount)
        (due, *_, told), (found, parents, nodes, spoken) = advance(*step), kernels.advance(*step)
        torch.testing.assert_close(found, due, atol=1e-5, rtol=1e-5)
        there = found > -torch.inf
        # Siblings of one stand-in have equal scores: torch keeps them in any order.
        assert sorted(spoken[there].tolist()) == sorted(told[there].tolist())
        lost = logits.log_softmax(dim=-1)[torch.arange(2)[:, None], parents, spoken]
        fresh = tree.nodes[level + 1].new
        lost = lost if fresh is None else lost - discount * fresh[nodes.long()]
        torch.testing.assert_close(
            found[there], (scores.gather(1, parents) + lost)[there], atol=1e-5, rtol=1e-5
        )
        scores = found


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=50, deadline=None)
@given(items=catalogues(), width=st.integers(1, 12), seed=st.integers(0, 10_000))
def test_of_equal_scores_the_first_are_kept(
    kernels: Kernels, items: Items, layout: Layout, width: int, seed: int
) -> None:
    excluded = set(np.flatnonzero(np.random.default_rng(seed).random(len(items.codes)) < 0.3).tolist())
    eligible = Exclusions(items.tree(layout), [excluded], strikes=0)
    nodes, scores = torch.zeros((1, 1), dtype=torch.int32), torch.zeros((1, 1))
    kept: list[Code] = [()]
    for level in range(items.depth):
        logits = torch.zeros((*nodes.shape, items.size))
        scores, _, nodes, _ = kernels.advance(eligible, level, nodes, scores, logits, width)
        live = {items.codes[p][: level + 1] for p in items.positions() if p not in excluded}
        kept = [code for before in kept for code in sorted(live) if code[:-1] == before][:width]
        prefixes = items.prefixes(level + 1)
        assert [prefixes[node] for node in nodes[scores > -torch.inf].tolist()] == kept


@settings(max_examples=60, deadline=None)
@given(
    batch=batches(),
    width=st.integers(1, 8),
    narrow=st.booleans(),
    diversity=st.sampled_from([None, 0.7]),
    seed=st.integers(0, 10_000),
)
def test_a_search_in_one_call_is_the_search_step_by_step(
    batch: tuple[World, list[Constraints], list[int]],
    width: int,
    narrow: bool,
    diversity: float | None,
    seed: int,
) -> None:
    world, rows, sizes = batch
    sound = [(r, s) for r, s in zip(rows, sizes, strict=True) if not contradiction(world, r, s)]
    if not sound:
        return
    catalog = catalog_of(world)
    model = random_model(seed, catalog)
    engine = Int8HiGR(model)
    users = [random_context(seed + row, catalog) for row in range(len(sound))]
    context = engine.encode(
        encode_contexts(users, catalog, engine.profiles, engine.config), catalog.code_tensor
    )
    asked = reader(world).eligibility([row for row, _ in sound], [size for _, size in sound])
    widths = torch.arange(len(sound)) % width + 1 if narrow else None
    spread = spread_of(diversity, len(sound))
    with torch.inference_mode():
        plan = torch.randn(len(sound), engine.config.width, generator=torch.Generator().manual_seed(seed))
        for position in range(min(SLATE, max(size for _, size in sound))):
            found = item_search(engine)(context, position, plan, asked, width, 0.0, widths, spread)
            step = ItemStep(engine, context, position, plan)
            due = beam_search(asked, width, step, 0.0, widths, spread)
            torch.testing.assert_close(found.scores, due.scores, atol=1e-4, rtol=1e-4)
            there = due.scores > -torch.inf
            assert found.leaves[there].tolist() == due.leaves[there].tolist()
            first = there[:, 0]
            slots = pick_items(asked, torch.where(first, due.leaves[:, 0], 0))
            asked.strike(torch.where(first, slots, asked.tree.count))


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(0, 300),
    length=st.integers(0, 300),
    more=st.lists(st.integers(0, 299), max_size=8),
    layout=st.sampled_from(LAYOUTS),
    inactive=st.integers(0, 3),
    seed=st.integers(0, 10_000),
)
def test_long_lists_of_neighbours_shut_what_they_cover(
    kernels: Kernels, start: int, length: int, more: list[int], layout: Layout, inactive: int, seed: int
) -> None:
    """As a blocked category is: all items of some nodes, one more or less, in lists that are searched."""
    rng = np.random.default_rng(seed)
    codes = np.unique(rng.integers(0, 20, (300, 3)), axis=0)
    codes = np.repeat(codes, rng.integers(1, 3, len(codes)), axis=0)
    active = rng.random(len(codes)) < 1 - inactive / 10
    tree = PrefixTree(codes, 20, active, layout)
    rows = [{*range(start, start + length), *more} & set(range(len(codes))), set(more)]
    eligible = Exclusions(tree, rows, strikes=6)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(6):
        leaves = check_steps(kernels, eligible, 20, 10, generator)
        slots = torch.where(leaves >= 0, pick_items(eligible, leaves.clamp(min=0)), tree.count)
        eligible.strike(slots)


def test_more_categories_than_a_word_holds(kernels: Kernels) -> None:
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 16, (400, 3)), axis=0)
    catalog = Catalog.build([f"i{n}" for n in range(len(codes))], codes, 16)
    categories = [f"c{n}" for n in rng.integers(0, 150, len(codes))]
    by_item = dict(zip(catalog.item_ids, categories, strict=True))
    tree = PrefixTree(catalog.codes, 16)
    asked = ConstraintReader(catalog, tree, categories).eligibility(
        [Constraints(per_category=1)] * 3, [30] * 3
    )
    generator = torch.Generator().manual_seed(0)
    chosen: list[list[str]] = [[], [], []]
    for _ in range(30):
        leaves = check_steps(kernels, asked, 16, 10, generator)
        asked.strike(leaves)
        for row, leaf in zip(chosen, leaves.tolist(), strict=True):
            row.append(by_item[catalog.item_ids[leaf]])
    assert all(len(set(row)) == 30 for row in chosen)


def test_positions_behind_the_slate_are_refused_by_both(kernels: Kernels) -> None:
    tree = PrefixTree(np.array([[0, 1], [1, 0], [1, 1]]), 2)
    catalog = Catalog.build(["a", "b", "c"], np.array([[0, 1], [1, 0], [1, 1]]), 2)
    asked = ConstraintReader(catalog, tree).eligibility([Constraints(pinned={2: "a"})], [2])
    for slot in (1, 0):
        asked.strike(torch.tensor([slot]))
    nodes, scores = torch.zeros((1, 1), dtype=torch.int32), torch.zeros((1, 1))
    for step in (advance, kernels.advance):
        with pytest.raises(InputError, match="position 3 of slates of 2 items"):
            step(asked, 0, nodes, scores, torch.zeros(1, 1, 2), 1)


def test_scores_that_are_no_numbers_end_in_no_item() -> None:
    tree = PrefixTree(np.array([[0, 1], [1, 0], [1, 1]]), 2)
    for bad in (torch.nan, torch.inf):

        def step(level: int, parents: Tensor | None, codes: Tensor | None, bad: float = bad) -> Tensor:
            return torch.full((1, 1 if parents is None else parents.shape[1], 2), bad)

        found = beam_search(Exclusions(tree, [[0]], 0), 2, step)
        assert found.scores.tolist() == [[-torch.inf, -torch.inf]]
        assert found.leaves.tolist() == [[tree.nodes[-1].count] * 2]


def test_kernels_write_float32_whatever_the_default_is(kernels: Kernels) -> None:
    tree = PrefixTree(np.array([[0, 1], [1, 0], [1, 1]]), 2)
    nodes, logits = torch.zeros((1, 1), dtype=torch.int64), torch.tensor([[[0.5, 0.0]]], dtype=torch.float64)
    due = logits.float().log_softmax(dim=-1)[0]
    torch.set_default_dtype(torch.float64)
    try:
        scores, *_ = kernels.advance(Exclusions(tree, [[]], 0), 0, nodes, torch.zeros(1, 1), logits, 2)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(scores, due)


def test_what_does_not_belong_together_is_refused(kernels: Kernels) -> None:
    tree = PrefixTree(np.array([[0, 1], [1, 0]]), 2)
    nodes, scores = torch.zeros((2, 1), dtype=torch.int32), torch.zeros((2, 1))
    with pytest.raises(ValueError, match=r"beams \(2, 1\), but logits \(2, 1, 2\) of 3 rows"):
        kernels.advance(Exclusions(tree, [[]] * 3, 0), 0, nodes, scores, torch.zeros(2, 1, 2), 1)
    with pytest.raises(ValueError, match=r"beams \(2, 1\), but logits \(2, 2\)"):
        kernels.advance(Exclusions(tree, [[]] * 2, 0), 0, nodes, scores, torch.zeros(2, 2), 1)
    for codes, width in ((3, 1), (2, 0)):
        with pytest.raises(ValueError, match="of a tree of 2 codes"):
            kernels.advance(Exclusions(tree, [[]] * 2, 0), 0, nodes, scores, torch.zeros(2, 1, codes), width)
    catalog = catalog_of(World([(0, 1), (1, 0)], [True, True], 2))
    engine = Int8HiGR(random_model(0, catalog))
    users = [random_context(0, catalog)]
    batch = encode_contexts(users, catalog, engine.profiles, engine.config)
    context, plan = engine.encode(batch, catalog.code_tensor), torch.zeros(1, engine.config.width)
    with pytest.raises(ValueError, match="1 plans, 1 beams, but rows, bias, keys or a tree of others"):
        item_search(engine)(context, 0, plan, Exclusions(tree, [[]] * 2, 0), 1)
