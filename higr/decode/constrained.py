"""Eligibility under all constraints of `higr.decode.request`, for a batch whose rows have different ones.

What is pinned counts from the start: a pinned item can be chosen at its own position alone, and every pin
holds a place under the caps. What follows for the nodes of the tree is worked out when the first gate is
asked for and kept up from then on (`higr.decode.losses`). Kernels ask for none: they read the rules.
"""

import torch
from torch import Tensor

from higr.decode.item_bits import ItemBits, KindBits
from higr.decode.losses import Losses
from higr.decode.rules import Rules, open_kinds
from higr.eligibility import Asked
from higr.gate import Gate, none_of


class Constrained:
    """An `Eligibility` by rules, for slates that are filled from the first position on, one strike each.

    Args:
        bits: of what each of B rows chooses from; those of the categories if these have caps.
        rules: of B rows.
    """

    def __init__(self, bits: ItemBits, rules: Rules) -> None:
        self.tree, self._bits, self._rules = bits.tree, bits, rules
        rows, given = rules.forbidden.shape
        chosen = rules.forbidden.new_full((rows, rules.positions), self.tree.count)
        self.asked = Asked(
            torch.cat([rules.forbidden, chosen], dim=1),
            given,
            bits=bits.depths if isinstance(bits, KindBits) else None,
            items=bits.slots if isinstance(bits, KindBits) else None,
            blocked=rules.blocked,
            pins=None if rules.pins is None else (rules.pins.slots, rules.pins.nodes),
            most=rules.prefix_caps or {},
            most_of_kind=None if rules.category_caps is None else rules.category_caps.most,
        )
        self._losses: Losses | None = None  # known once a gate is asked for

    def __len__(self) -> int:
        return len(self.asked.slots)

    def gate(self, level: int) -> Gate:
        """See `Eligibility.gate`.

        Raises:
            InputError: of a position behind the slates that the rules are for.
        """
        self.asked.check_position(self._rules.positions)
        if self._losses is None:
            self._losses = Losses(self._bits, self._rules, self.asked)
        return self._losses.gate(level)

    def has(self, slots: Tensor) -> Tensor:
        """See `Eligibility.has`: of items whose semantic ID a search has ended in."""
        has = (slots < self.tree.count) & self.asked.unstruck(slots)
        has &= ~none_of(self._bits.items(slots), open_kinds(self._rules, self.asked))
        pins = self._rules.pins
        if pins is None or self.asked.position not in pins.positions:
            return has
        pinned = pins.slots[:, self.asked.position, None]
        return torch.where(pinned < self.tree.count, slots == pinned, has)

    def strike(self, slots: Tensor) -> None:
        self.asked.choose(slots)
        if self._losses is not None:
            self._losses.enter(slots)
