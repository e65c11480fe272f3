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

from higr.decode.item_bits import ItemBits, KindBits
from higr.decode.lost import first_losses, items_of
from higr.errors import InputError
from higr.prefix_tree import Children


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
    bits: of the categories; kind 0 is no category and has no cap.
    most: (B,) items of one category.
    """

    bits: KindBits
    most: Tensor


@dataclass(frozen=True)
class Rules:
    """The constraints of B slates of at most M positions, as tensors.

    Attributes:
        positions: M.
        which: (B,) set of `ItemBits` that each row chooses from.
        forbidden: (B, E) excluded and pinned slots in rising order, the tree's `count` behind them.
        blocked: depth to (B, X) int32 nodes, nowhere behind them.
        pins: None where no row has any.
        prefix_caps: depth to (B,) most items under one node; depths without a cap are left out.
        category_caps: None where no row has any.
    """

    positions: int
    which: Tensor
    forbidden: Tensor
    blocked: Mapping[int, Tensor]
    pins: Pins | None = None
    prefix_caps: Mapping[int, Tensor] | None = None
    category_caps: CategoryCaps | None = None


class Constrained:
    """An `Eligibility` by rules, for slates that are filled from the first position on, one strike each.

    Args:
        bits: of the active items; those of the categories if there are caps by category.
        rules: of B rows.
    """

    def __init__(self, bits: ItemBits, rules: Rules) -> None:
        self.tree, self._bits, self._rules, self._position = bits.tree, bits, rules, 0
        self._pins, self._caps = rules.pins, rules.prefix_caps or {}
        rows, self._given = rules.forbidden.shape
        chosen = rules.forbidden.new_full((rows, rules.positions), self.tree.count)
        self._slots = torch.cat([rules.forbidden, chosen], dim=1)
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
        self._lost = first_losses(
            bits,
            rules.which,
            rules.forbidden,
            {depth: torch.cat(nodes, dim=1) for depth, nodes in closed.items()},
            rules.positions,
        )
        self._aim()

    def __len__(self) -> int:
        return len(self._slots)

    # -- what a search asks -------------------------------------------------------------------

    def dead(self, level: int, nodes: Tensor, children: Children) -> Tensor:
        lost = self._lost.get(level + 1)
        if isinstance(self._bits, KindBits):
            dead = children.missing | self._none_open(self._children_bits(level, nodes, children))
        else:
            dead = children.missing if lost is None else lost.missing(children.missing, nodes)
        if self._length is None or self._pins is None:
            return dead
        path = self._pins.nodes[level][:, self._position]
        off = children.missing | (children.nodes != path[:, None, None])
        return torch.where((self._length > level)[:, None, None], off, dead)

    def has(self, slots: Tensor) -> Tensor:
        """See `Eligibility.has`: of items whose semantic ID a search has ended in."""
        has = self._unstruck(slots) & ~self._none_open(self._bits.items(slots, self._rules.which))
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
        for depth in range(self.tree.depth, min(self._lost) - 1, -1):
            node = self._enter(depth, node)
        self._position += 1
        self._aim()

    # -- from a chosen item upwards -----------------------------------------------------------

    def _enter(self, depth: int, node: Tensor) -> Tensor:
        """Enter what nodes (B,) above the chosen items have lost by now. Returns their parents."""
        lost = self._lost.get(depth)
        if lost is None:
            return self.tree.facts(depth, node)[:, 0]
        every = self._bits.of(depth, node, self._rules.which)  # (B, R)
        less = every - self._live(depth, node) if lost.follows else torch.zeros_like(every)
        gone = less
        if depth in self._taken:
            self._taken[depth].select(1, self._position).copy_(node)
            full = (self._taken[depth] == node[:, None]).sum(dim=1) >= self._caps[depth]
            gone = torch.where(full[:, None], every, less)
        return lost.enter(node, less, gone)

    def _live(self, depth: int, node: Tensor) -> Tensor:
        """(B, R) bits of what is eligible under nodes (B,), whatever its category."""
        if depth == self.tree.depth:
            slots = items_of(self.tree, node)  # (B, S)
            slots = torch.where(self._unstruck(slots), slots, self.tree.count)
            return self._bits.union(self._bits.items(slots, self._rules.which))
        node = node[:, None]
        children = self.tree.children(depth, node)
        bits = self._children_bits(depth, node, children) * ~children.missing.unsqueeze(3)
        return self._bits.union(bits[:, 0])

    def _children_bits(self, level: int, nodes: Tensor, children: Children) -> Tensor:
        """(B, W, C, R) bits of what is eligible under the children of nodes (B, W), whatever its category."""
        bits = self._bits.children(level, children, self._rules.which)
        lost = self._lost.get(level + 1)
        return bits if lost is None else lost.taken_from(bits, nodes)

    def _unstruck(self, slots: Tensor) -> Tensor:
        """Which of slots (B, S) hold an item that is neither excluded nor chosen nor pinned."""
        return (slots < self.tree.count) & (slots.unsqueeze(2) != self._slots.unsqueeze(1)).all(dim=2)

    # -- categories ---------------------------------------------------------------------------

    def _without_full(self, caps: CategoryCaps, open_: Tensor, kinds: Tensor) -> Tensor:
        """The open bits without those of kinds (B,), where a row has as many of them as it may."""
        full = ((self._kinds == kinds[:, None]).sum(dim=1) >= caps.most) & (kinds > 0)
        return open_ & ~(torch.embedding(caps.bits.bits, kinds) * full[:, None])

    def _none_open(self, bits: Tensor) -> Tensor:
        """(B, ...) bool: which of bits (B, ..., R) hold no category that may be chosen."""
        if self._open is not None:
            bits = bits & self._open.view(len(bits), *[1] * (bits.dim() - 2), -1)
        return bits[..., 0] == 0 if bits.shape[-1] == 1 else (bits == 0).all(dim=-1)

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
            bits = self._bits.of(depth, node, self._rules.which)
            if depth in self._lost:
                # Whether a cap closed this prefix is not asked: one place under it is this pin's own.
                bits = bits - self._lost[depth].of(node)
            length = torch.where(self._none_open(bits), length, depth)
        item = pins.slots[:, self._position] < self.tree.count
        self._length = torch.where(item, self.tree.depth, length)
