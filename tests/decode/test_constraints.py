"""Constraints against plain enumeration of all items. Run: pytest tests/decode/test_constraints.py"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from higr.decode import item_bits
from higr.decode.beam import beam_search
from higr.decode.request import Constraints
from higr.eligibility import Eligibility, pick_items
from higr.errors import InputError
from higr.prefix_tree import Layout
from tests.decode.plain import World, contradiction, eligible
from tests.decode.random_requests import SLATE, SMALL, batches, reader
from tests.trees import LAYOUTS, Code


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
        dead = asked.gate(level).dead(nodes, children)[row]  # (W, C)
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


@settings(max_examples=150, deadline=None)
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


@settings(max_examples=100, deadline=None)
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


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"allow": "twos"}, r"allow: no set 'twos' is registered \(ones\)"),
        ({"blocked": ((),)}, r"blocked: prefix \(\) has 0 codes; 1 to 2 are due"),
        ({"blocked": ((0, 1, 2),)}, r"blocked: prefix \(0, 1, 2\) has 3 codes"),
        ({"blocked": ((3,),)}, r"blocked: prefix \(3,\) holds a code outside 0..2"),
        ({"pinned": {1: (0, -1)}}, r"pinned: prefix \(0, -1\) holds a code outside 0..2"),
        ({"pinned": {1: ()}}, r"pinned: prefix \(\) has 0 codes"),
        ({"pinned": {0: "i0"}}, r"pinned: 'i0' at position 0; the slate has positions 1..4"),
        ({"pinned": {5: (0,)}}, r"pinned: \(0,\) at position 5; the slate has positions 1..4"),
        ({"pinned": {1: "i9"}}, "the catalogue has no item 'i9'"),
        ({"pinned": {1: "i5"}}, "'i5' at position 1 is disabled"),
        ({"pinned": {1: "i0"}, "exclude": {"i0"}}, "'i0' at position 1 is in exclude"),
        ({"pinned": {1: "i0"}, "allow": "ones"}, "'i0' at position 1 is not in allow 'ones'"),
        ({"pinned": {1: "i0"}, "blocked": ((0,),)}, r"'i0' at position 1 is blocked by \(0,\)"),
        ({"pinned": {2: (0, 1)}, "blocked": ((0,),)}, r"\(0, 1\) at position 2 is blocked by \(0,\)"),
        ({"pinned": {1: "i0", 3: "i0"}}, r"'i0' at positions \[1, 3\]; pin an item once"),
        ({"per_prefix": {0: 1}}, "per_prefix: a prefix of 0 codes; 1 to 2 are due"),
        ({"per_prefix": {3: 1}}, "per_prefix: a prefix of 3 codes"),
        ({"per_prefix": {1: 0}}, "per_prefix: 0 items of a prefix of 1 codes; at least 1 is due"),
        ({"per_category": 0}, "per_category: 0; at least 1 is due"),
        (
            {"per_prefix": {1: 1}, "pinned": {1: "i0", 2: (0,)}},
            r"2 items of prefix \(0,\), but per_prefix \{1: 1\} allows 1",
        ),
        (
            {"per_category": 1, "pinned": {1: "i0", 2: "i1"}},
            "2 items of the category of 'i1', but per_category 1 allows 1",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_by_field_and_value(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reader(SMALL).eligibility([Constraints(), Constraints(**asked)], [4, 4])


def test_caps_by_category_need_categories() -> None:
    with pytest.raises(InputError, match="no categories of items are known"):
        reader(replace(SMALL, categories=None)).eligibility([Constraints(per_category=1)], [4])
    with pytest.raises(InputError, match="2 categories for 6 items; give one an item, or None"):
        reader(replace(SMALL, categories=["a", "b"]))


def test_more_sets_than_memory_is_allowed_for_are_refused_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = reader(SMALL)
    monkeypatch.setattr(item_bits, "TABLE_BYTES", 70)
    with pytest.raises(InputError, match="register fewer sets"):
        made.register("more", ["i0"])
    with pytest.raises(InputError, match="'more' is registered"):
        made.eligibility([Constraints(allow="more")], [1])


def test_more_than_63_categories_and_several_sets_at_once() -> None:
    rng = np.random.default_rng(0)
    codes = sorted({tuple(code) for code in rng.integers(0, 7, (300, 3)).tolist()})
    categories = [f"c{number}" for number in rng.integers(0, 150, len(codes))]
    sets = {
        name: frozenset(rng.choice(len(codes), count, replace=False).tolist())
        for name, count in (("few", 5), ("half", len(codes) // 2))
    }
    world = World(codes, [True] * len(codes), 7, categories, sets)
    rows = [
        Constraints(per_category=1, allow="half", per_prefix={2: 1}),
        Constraints(allow="few", exclude=[world.ids[n] for n in sorted(sets["few"])[:2]], per_category=1),
        Constraints(per_category=1, blocked=tuple((code,) for code in range(6)), pinned={3: (6, 1)}),
    ]
    check_slates(world, rows, [SLATE] * 3, "auto", 0)


class Waits(TorchDispatchMode):
    """Notes operations that wait for the device or whose shape depends on values."""

    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "index.Tensor", "equal")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(name in str(func) for name in self.NAMES):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def test_nothing_waits_for_the_device_while_a_slate_is_filled() -> None:
    asked = reader(SMALL).eligibility(
        [
            Constraints(exclude={"i0"}, per_prefix={1: 2}, per_category=1, pinned={2: (1,), 3: "i1"}),
            Constraints(allow="ones", blocked=((0,),)),
        ],
        [4, 4],
    )

    def flat(level: int, parents: torch.Tensor | None, codes: torch.Tensor | None) -> torch.Tensor:
        return torch.zeros(2, 1 if codes is None else codes.shape[1], 3)

    asked.gate(0)  # the first one sets up what the others only follow
    with Waits() as waits:
        torch.tensor([1.0]).nonzero()
        assert waits.seen
        waits.seen.clear()
        for _ in range(4):
            beams = beam_search(asked, 3, flat, widths=torch.tensor([1, 3]))
            asked.strike(pick_items(asked, beams.leaves[:, 0]))
    assert not waits.seen
