"""What constraints take from the nodes of the prefix tree, kept up to date while slates are filled.

A node is dead when all its children are. That one rule, applied upwards from whatever was taken away (an
excluded or chosen item, a blocked prefix, a prefix at its cap), makes counts of items superfluous: a
closed prefix is dead at its own depth, no item is counted twice, and taking a thing away once more
changes nothing. What is taken away is a list; its length decides what a step costs, not the catalogue's.

While a slate is filled nothing here waits for the device, and no shape depends on a value. Not reported
by the paper.
"""

import torch
from torch import Tensor

from higr.decode.item_bits import ItemBits, KindBits, union
from higr.decode.left import Left, first_left, items_of
from higr.decode.rules import Rules, open_kinds
from higr.eligibility import Asked
from higr.gate import Gate, none_of


class Losses:
    """Of B rows, from the first position on or from any later one.

    Args:
        bits, rules: see `Constrained`.
        asked: the same, with what is chosen; entered here right after it was chosen.
    """

    def __init__(self, bits: ItemBits, rules: Rules, asked: Asked) -> None:
        self.tree, self._bits, self._rules, self._asked, self._position = bits.tree, bits, rules, asked, 0
        self._pins, self._caps = rules.pins, rules.prefix_caps or {}
        rows = len(asked.slots)
        self._nothing = torch.zeros((rows, bits.words), dtype=bits.dtype, device=asked.slots.device)
        # Nodes that each position takes or, where one is pinned, is going to: what caps count.
        chosen = asked.slots[:, asked.given :]
        self._taken = {
            depth: torch.full_like(chosen, self.tree.nodes[depth].count, dtype=torch.int32)
            if rules.pins is None
            else rules.pins.nodes[depth - 1].clone()
            for depth in self._caps
        }
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
        self._open = open_kinds(rules, asked)  # (B, R)
        for left in self._left.values():
            left.refresh(self._open)
        self._aim()
        for slots in chosen[:, : asked.position].unbind(dim=1):
            self.enter(slots)

    def gate(self, level: int) -> Gate:
        left, only = self._left.get(level + 1), None
        if self._length is not None and self._pins is not None:
            only = torch.where(self._length > level, self._pins.nodes[level][:, self._position], -1)
        return Gate(
            shut=None if left is None else left.dead,
            bits=self._bits.depths[level] if isinstance(self._bits, KindBits) else None,
            open=self._open,
            only=only,
        )

    # -- from a chosen item upwards -----------------------------------------------------------

    def enter(self, slots: Tensor) -> None:
        """The next chosen item of each row (B,)."""
        self._open = open_kinds(self._rules, self._asked)
        node = self.tree.leaves(slots).int()
        for depth in range(self.tree.depth, min(self._entered) - 1, -1):
            node = self._enter(depth, node)
        self._position += 1
        self._aim()

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
            return union(self._bits.items(torch.where(self._asked.unstruck(slots), slots, self.tree.count)))
        below, children = self._left[depth + 1], self.tree.children(depth, node[:, None])
        if not isinstance(self._bits, KindBits):
            return ~Gate(below.dead).dead(node[:, None], children).all(dim=2)
        return union(below.put_into(self._bits.children(depth, children)[:, 0], node))

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
