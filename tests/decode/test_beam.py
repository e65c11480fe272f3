"""Beam search against beam search over lists of tuples. Run: pytest tests/decode/test_beam.py"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from higr.decode.beam import Beams, beam_search
from higr.eligibility import Eligibility, EligibleMask, Exclusions
from higr.prefix_tree import Layout, PrefixTree
from higr.stand_ins import find_stand_ins
from tests.trees import LAYOUTS, Code, Items, catalogues


class PrefixScores:
    """A model whose logits are any function of row and prefix, to be stepped and to be asked."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed, self.size = seed, size
        self.prefixes: list[list[Code]] = []

    def log_probs(self, row: int, prefix: Code) -> Tensor:
        rng = np.random.default_rng([self.seed, row, len(prefix), *prefix])
        return torch.from_numpy(rng.normal(size=self.size)).float().log_softmax(-1)

    def stepped(self, rows: int) -> "PrefixScores":
        self.prefixes = [[()] for _ in range(rows)]
        return self

    def __call__(self, level: int, parents: Tensor | None, codes: Tensor | None) -> Tensor:
        if parents is not None and codes is not None:
            self.prefixes = [
                [(*before[parent], code) for parent, code in zip(ups, downs, strict=True)]
                for before, ups, downs in zip(self.prefixes, parents.tolist(), codes.tolist(), strict=True)
            ]
        return torch.stack(
            [
                torch.stack([self.log_probs(row, prefix) for prefix in prefixes])
                for row, prefixes in enumerate(self.prefixes)
            ]
        )


def search_lists(
    model: PrefixScores, row: int, allowed: set[Code], depth: int, width: int
) -> list[tuple[Code, float]]:
    kept: list[tuple[Code, float]] = [((), 0.0)]
    for level in range(depth):
        live = {code[: level + 1] for code in allowed}
        grown = [
            ((*prefix, code), score + float(gained))
            for prefix, score in kept
            for code, gained in enumerate(model.log_probs(row, prefix))
            if (*prefix, code) in live
        ]
        kept = sorted(grown, key=lambda beam: -beam[1])[:width]
    return kept


def found(beams: Beams, items: Items, row: int) -> list[tuple[Code, float]]:
    prefixes = items.prefixes(items.depth)
    return [
        (prefixes[leaf], score)
        for leaf, score in zip(beams.leaves[row].tolist(), beams.scores[row].tolist(), strict=True)
        if score > -np.inf
    ]


@settings(max_examples=150, deadline=None)
@given(
    items=catalogues(),
    layout=st.sampled_from(LAYOUTS),
    masked=st.booleans(),
    width=st.integers(1, 12),
    seed=st.integers(0, 10_000),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_beam_search_equals_beam_search_over_lists(
    items: Items, layout: Layout, masked: bool, width: int, seed: int, shares: list[float]
) -> None:
    tree, rows = items.tree(layout), len(shares)
    mask = (
        torch.rand((rows, len(items.codes)), generator=torch.manual_seed(seed))
        >= torch.tensor(shares)[:, None]
    )
    eligible: Eligibility = (
        EligibleMask(tree, mask)
        if masked
        else Exclusions(tree, [(~row).nonzero()[:, 0].tolist() for row in mask], strikes=2)
    )
    model = PrefixScores(seed, items.size)
    beams = beam_search(eligible, width, model.stepped(rows))
    for row in range(rows):
        allowed = {items.codes[position] for position in items.positions() if mask[row, position]}
        expected = search_lists(model, row, allowed, items.depth, width)
        assert [code for code, _ in found(beams, items, row)] == [code for code, _ in expected]
        assert [score for _, score in found(beams, items, row)] == pytest.approx(
            [score for _, score in expected], abs=1e-5
        )
        assert bool(expected) == bool(allowed)


@settings(max_examples=50, deadline=None)
@given(items=catalogues(), seed=st.integers(0, 10_000))
def test_a_beam_as_wide_as_the_catalogue_ranks_all_of_it(items: Items, seed: int) -> None:
    model = PrefixScores(seed, items.size)
    beams = beam_search(Exclusions(items.tree(), [[]], 0), len(items.codes), model.stepped(1))
    totals = {
        code: sum(float(model.log_probs(0, code[:level])[code[level]]) for level in range(items.depth))
        for code in items.prefixes(items.depth)
    }
    assert [code for code, _ in found(beams, items, 0)] == sorted(totals, key=lambda code: -totals[code])


def test_a_codebook_far_larger_than_the_catalogue() -> None:
    items = Items([(7, 8191, 0), (7, 8191, 8191), (8190, 0, 3)], [True, True, True], 8192)
    for layout in LAYOUTS:
        model = PrefixScores(0, 8192)
        beams = beam_search(Exclusions(items.tree(layout), [[], [1]], 1), 10, model.stepped(2))
        assert {code for code, _ in found(beams, items, 0)} == set(items.codes)
        assert {code for code, _ in found(beams, items, 1)} == {items.codes[0], items.codes[2]}


@settings(max_examples=150, deadline=None)
@given(
    items=catalogues(),
    layout=st.sampled_from(LAYOUTS),
    masked=st.booleans(),
    seed=st.integers(0, 10_000),
    discount=st.sampled_from([0.0, 0.5]),
)
def test_what_came_after_training_scores_as_its_stand_in(
    items: Items, layout: Layout, masked: bool, seed: int, discount: float
) -> None:
    rng = np.random.default_rng(seed)
    codes = np.array(items.codes)
    trained = codes[rng.random(len(codes)) < rng.random()]
    trained = trained if len(trained) else codes[:1]
    stand_ins = find_stand_ins(codes, trained, rng.normal(size=(items.depth, items.size, 2)))
    tree = PrefixTree(codes, items.size, np.array(items.active), layout, stand_ins)
    eligible: Eligibility = (
        EligibleMask(tree, torch.ones((1, len(codes)), dtype=torch.bool))
        if masked
        else Exclusions(tree, [[]], strikes=0)
    )
    model = PrefixScores(seed, items.size)
    beams = beam_search(eligible, len(codes), model.stepped(1), discount)
    expected = {}
    for position in items.positions():
        own, spoken = items.codes[position], tuple(stand_ins[position].tolist())
        total = sum(float(model.log_probs(0, spoken[:level])[spoken[level]]) for level in range(items.depth))
        expected[own] = total - discount * (own != spoken)
    assert dict(found(beams, items, 0)) == pytest.approx(expected, abs=1e-4)
    scores = [score for _, score in found(beams, items, 0)]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tree_of_trained_items_is_searched_as_without_stand_ins(layout: Layout) -> None:
    items = Items([(0, 1, 1), (0, 2, 0), (2, 0, 0), (2, 0, 1)], [True, True, False, True], 3)
    codes, active = np.array(items.codes), np.array(items.active)
    plain, told = items.tree(layout), PrefixTree(codes, 3, active, layout, stand_ins=codes)
    assert told.nbytes == plain.nbytes
    one, other = (
        beam_search(Exclusions(tree, [[]], 0), 3, PrefixScores(0, 3).stepped(1), 0.5)
        for tree in (plain, told)
    )
    assert torch.equal(one.leaves, other.leaves)
    assert torch.equal(one.scores, other.scores)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_by_hand_a_new_item_beside_trained_ones(layout: Layout) -> None:
    """Trained are 00 and 11. 01 is new and speaks as 00; so does 20, whose prefix is new, too."""
    codes = np.array([(0, 0), (0, 1), (1, 1), (2, 0)])
    stand_ins = np.array([(0, 0), (0, 0), (1, 1), (0, 0)])
    tree = PrefixTree(codes, 3, layout=layout, stand_ins=stand_ins)
    told: list[list[int]] = []

    def step(level: int, parents: Tensor | None, codes: Tensor | None) -> Tensor:
        if codes is None:
            return torch.tensor([[[0.7, 0.2, 0.1]]]).log()
        told.append(codes[0].tolist())
        after = {0: [0.9, 0.06, 0.04], 1: [0.2, 0.5, 0.3]}
        return torch.tensor([[after[code] for code in codes[0].tolist()]]).log()

    beams = beam_search(Exclusions(tree, [[]], 0), 4, step, cold_discount=float(np.log(2)))
    assert told == [[0, 0, 1]]  # 2 was never told
    assert dict(zip(beams.leaves[0].tolist(), beams.scores[0].exp().tolist(), strict=True)) == pytest.approx(
        {0: 0.63, 1: 0.315, 3: 0.315, 2: 0.1}
    )
