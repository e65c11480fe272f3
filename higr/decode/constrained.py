"""Eligibility under all constraints of `higr.decode.request`, for a batch whose rows have different ones.

A node is dead when all its children are. That one rule, applied upwards from whatever was taken away (an
excluded or chosen item, a blocked prefix, a prefix at its cap), makes counts of items superfluous: a
closed prefix is dead at its own depth, no item is counted twice, and taking a thing away once more
changes nothing. What is taken away is a list; its length decides what a step costs, not the catalogue's.

What is pinned counts from the start: a pinned item can be chosen at its own position alone, and every pin
holds a place under the caps. While a slate is filled nothing here waits for the device, and no shape
depends on a value. Not reported by the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from higr.decode.item_bits import ItemBits, KindBits, union
from higr.decode.left import Left, first_left, items_of
from higr.errors import InputError
from higr.gate import Gate, none_of


@dataclass(frozen=True)
class Pins:
    """Attributes:
    slots: (B, M) item that stands at each position; the tree's `count` for none.
    nodes: D tensors (B, M) int32, depth by depth the node of the pinned prefix; nowhere
        behind the end of the prefix, or of what the tree has of it.
    positions: of any row, from 0.
    """

    slots: Tensor
    nodes: list[Tensor]
    positions: frozenset[int]


@dataclass(frozen=True)
class CategoryCaps:
    """Attributes:
    bits: of the categories, as these rows see them; kind 0 is no category and has no cap.
    most: (B,) items of one category.
    """

    bits: KindBits
    most: Tensor


@dataclass(frozen=True)
class Rules:
    """The constraints of B slates of at most M positions, as tensors.

    Attributes:
        positions: M.
            forbidden: (B, E) excluded and pinned slots in rising order, the tree's `count` behind them.
        blocked: depth to (B, X) int32 nodes, nowhere behind them.
        pins: None where no row has any.
        prefix_caps: depth to (B,) most items under one node; depths without a cap are left out.
        category_caps: None where no row has any.
    """

    positions: int
    forbidden: Tensor
    blocked: Mapping[int, Tensor]
    pins: Pins | None = None
    prefix_caps: Mapping[int, Tensor] | None = None
    category_caps: CategoryCaps | None = None


class Constrained:
    """An `Eligibility` by rules, for slates that are filled from the first position on, one strike each.

    Args:
        bits: of what each of B rows chooses from; those of the categories if these have caps.
        rules: of B rows.
    """

    def __init__(self, bits: ItemBits, rules: Rules) -> None:
        self.tree, self._bits, self._rules, self._position = bits.tree, bits, rules, 0
        self._pins, self._caps = rules.pins, rules.prefix_caps or {}
        rows, self._given = rules.forbidden.shape
        chosen = rules.forbidden.new_full((rows, rules.positions), self.tree.count)
        self._slots = torch.cat([rules.forbidden, chosen], dim=1)
        self._nothing = torch.zeros((rows, bits.words), dtype=bits.dtype, device=chosen.device)
        # Nodes and categories that each position takes or, where one is pinned, is going to: what caps count.
        self._taken = {
            depth: torch.full_like(chosen, self.tree.nodes[depth].count, dtype=torch.int32)
            if rules.pins is None
            else rules.pins.nodes[depth - 1].clone()
            for depth in self._caps
        }
        self._open: Tensor | None = None  # (B, R) bits of the categories that may be chosen
        if rules.category_caps is not None:
            self._open = torch.full((rows, bits.words), -1, dtype=torch.int64, device=chosen.device)
            self._kinds = rules.category_caps.bits.kinds(chosen if rules.pins is None else rules.pins.slots)
            for kinds in self._kinds.unbind(dim=1) if rules.pins is not None else ():
                self._open = self._without_full(rules.category_caps, self._open, kinds)
        closed = {depth: [nodes] for depth, nodes in rules.blocked.items()}
        for depth, taken in self._taken.items():
            full = (taken.unsqueeze(2) == taken.unsqueeze(1)).sum(dim=2) >= self._caps[depth][:, None]
            closed.setdefault(depth, []).append(torch.where(full, taken, self.tree.nodes[depth].count))
        self._left = first_left(
            bits,
            rules.forbidden,
            {depth: torch.cat(nodes, dim=1) for depth, nodes in closed.items()},
            rules.positions,
        )
        # Prefixes that are blocked in a depth that nothing else can close stay as they are.
        self._entered = {d for d, left in self._left.items() if left.follows or d in self._taken}
        for left in self._left.values():
            left.refresh(self._open)
        self._aim()

    def __len__(self) -> int:
        return len(self._slots)

    # -- what a search asks -------------------------------------------------------------------

    def gate(self, level: int) -> Gate:
        left, only = self._left.get(level + 1), None
        if self._length is not None and self._pins is not None:
            only = torch.where(self._length > level, self._pins.nodes[level][:, self._position], -1)
        return Gate(
            shut=None if left is None else left.dead,
            bits=self._bits.at(level + 1) if isinstance(self._bits, KindBits) else None,
            open=self._open,
            only=only,
        )

    def has(self, slots: Tensor) -> Tensor:
        """See `Eligibility.has`: of items whose semantic ID a search has ended in."""
        has = self._unstruck(slots) & ~none_of(self._bits.items(slots), self._open)
        if self._length is None or self._pins is None:
            return has
        pinned = self._pins.slots[:, self._position, None]
        return torch.where(pinned < self.tree.count, slots == pinned, has)

    def strike(self, slots: Tensor) -> None:
        if self._position == self._rules.positions:
            raise InputError("no strikes are left; announce as many positions as will be filled")
        self._slots.select(1, self._given + self._position).copy_(slots)
        if self._open is not None and self._rules.category_caps is not None:
            kinds = self._rules.category_caps.bits.kinds(slots)
            self._kinds.select(1, self._position).copy_(kinds)
            self._open = self._without_full(self._rules.category_caps, self._open, kinds)
        node = self.tree.leaves(slots).int()
        for depth in range(self.tree.depth, min(self._entered) - 1, -1):
            node = self._enter(depth, node)
        self._position += 1
        self._aim()

    # -- from a chosen item upwards -----------------------------------------------------------

    def _enter(self, depth: int, node: Tensor) -> Tensor:
        """Enter what is left by now of nodes (B,) above the chosen items. Returns their parents."""
        if depth not in self._entered:
            return self.tree.facts(depth, node)[:, 0]
        full: Tensor | None = None
        if depth in self._taken:
            self._taken[depth].select(1, self._position).copy_(node)
            full = (self._taken[depth] == node[:, None]).sum(dim=1) >= self._caps[depth]
        left = self._left[depth]
        parents = left.enter(node, self._left_of(depth, node, left), full)
        left.refresh(self._open)
        return parents

    def _left_of(self, depth: int, node: Tensor, left: Left) -> Tensor:
        """(B, R) bits of what is eligible under nodes (B,), whatever its category."""
        if left.items or not left.follows:
            return self._nothing
        if depth == self.tree.depth:
            slots = items_of(self.tree, node)  # (B, S)
            return union(self._bits.items(torch.where(self._unstruck(slots), slots, self.tree.count)))
        below, children = self._left[depth + 1], self.tree.children(depth, node[:, None])
        if not isinstance(self._bits, KindBits):
            return ~Gate(below.dead).dead(node[:, None], children).all(dim=2)
        return union(below.put_into(self._bits.children(depth, children)[:, 0], node))

    def _unstruck(self, slots: Tensor) -> Tensor:
        """Which of slots (B, S) hold an item that is neither excluded nor chosen nor pinned."""
        return (slots < self.tree.count) & (slots.unsqueeze(2) != self._slots.unsqueeze(1)).all(dim=2)

    # -- categories ---------------------------------------------------------------------------

    def _without_full(self, caps: CategoryCaps, open_: Tensor, kinds: Tensor) -> Tensor:
        """The open bits without those of kinds (B,), where a row has as many of them as it may."""
        full = ((self._kinds == kinds[:, None]).sum(dim=1) >= caps.most) & (kinds > 0)
        return open_ & ~(caps.bits.of_kinds(kinds) * full[:, None])

    # -- pins ---------------------------------------------------------------------------------

    def _aim(self) -> None:
        """How far the pins of this position lead: (B,) length of a prefix; None where no row has one."""
        self._length: Tensor | None = None
        pins = self._pins
        if pins is None or self._position not in pins.positions:
            return
        length = torch.zeros_like(pins.slots[:, self._position])
        for depth in range(1, self.tree.depth + 1):
            node = pins.nodes[depth - 1][:, self._position]
            bits = self._bits.of(depth, node)
            if depth in self._left:
                # Whether a cap closed this prefix is not asked: one place under it is this pin's own.
                bits = self._left[depth].of(node, bits)
            length = torch.where(none_of(bits, self._open), length, depth)
        item = pins.slots[:, self._position] < self.tree.count
        self._length = torch.where(item, self.tree.depth, length)
