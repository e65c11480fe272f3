"""What may stand in the slates of one batch, as the beam search asks for it.

Two kinds answer the same questions. `Exclusions` are lists of forbidden items, tens to hundreds a row
(history, what the slate already holds): their cost depends on their number, never on the catalogue's.
`EligibleMask` takes any mask over the catalogue and pays for its size once, when it is made. What a
whole catalogue version forbids is in neither: such items are left out of its prefix tree.

A subtree is dead when none of its items is eligible. Both kinds rule out candidates that would enter
a dead subtree, so if any item is eligible, a search ends in one.
"""

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from higr.errors import InputError
from higr.gate import Doors, Gate, NodeBits
from higr.prefix_tree import PrefixTree

OPEN = Gate()


@dataclass
class Asked:
    """What B slates may hold as it was asked, and what they hold by now; nothing is concluded from it.

    What kernels read: they ask node by node whether some item below it may be chosen.

    Attributes:
        slots: (B, E) int64 items; `count` for none. Those excluded and pinned, rising and none twice, and
            from column `given` on those chosen.
        position: how many were chosen.
        bits: of nodes of depths 1 .. D; one without any holds nothing to choose. None: not asked.
        items: of items, where shared semantic IDs hold several.
        blocked: depth to (B, X) int32 nodes.
        pins: (B, M) int64 item at each position, `count` for none, and D tensors (B, M) int32, the nodes of
            the pinned prefixes, nowhere behind them. None: nothing is pinned.
        most: depth to (B,) int64 items under one node.
        most_of_kind: (B,) int64 items of one kind; None: any number.
    """

    slots: Tensor
    given: int
    position: int = 0
    bits: Sequence[NodeBits] | None = None
    items: NodeBits | None = None
    blocked: Mapping[int, Tensor] = field(default_factory=dict)
    pins: tuple[Tensor, Sequence[Tensor]] | None = None
    most: Mapping[int, Tensor] = field(default_factory=dict)
    most_of_kind: Tensor | None = None

    def choose(self, slots: Tensor) -> None:
        """Enter the next chosen item of each row (B,).

        Raises:
            InputError: more than there is room for.
        """
        at = self.given + self.position
        if at == self.slots.shape[1]:
            raise InputError("no strikes are left; announce as many as items will be chosen")
        self.slots.select(1, at).copy_(slots)
        self.position += 1

    def check_position(self, positions: int) -> None:
        """Raises:
        InputError: all of `positions` are filled, so nothing was asked of the next.
        """
        if self.position >= positions:
            raise InputError(
                f"position {self.position + 1} of slates of {positions} items; "
                "read the constraints for as many as are to be filled"
            )

    def take(self, rows: Tensor) -> "Asked":
        """Those of rows (B',), where nothing but items was asked."""
        return Asked(self.slots[rows], self.given, self.position)

    def unstruck(self, slots: Tensor) -> Tensor:
        """Which of slots (B, S) hold an item that is neither excluded nor pinned nor chosen."""
        return (slots.unsqueeze(2) != self.slots.unsqueeze(1)).all(dim=2)


class Eligibility(Protocol):
    """Eligible items of B rows. Serves one batch: items struck out stay out."""

    tree: PrefixTree

    def __len__(self) -> int:
        """B."""
        ...

    def gate(self, level: int) -> Gate:
        """Shuts the nodes of depth `level` + 1 that hold no eligible item, as of now."""
        ...

    def has(self, slots: Tensor) -> Tensor:
        """Whether slots (B, S) hold an eligible item."""
        ...

    @property
    def asked(self) -> Asked:
        """For kernels."""
        ...

    def strike(self, slots: Tensor) -> None:
        """Exclude one more eligible item of each row, (B,); the tree's `count` for none."""
        ...


class Exclusions:
    """Everything but listed items.

    Of the excluded items under a node the latest knows whether it was the last eligible one. That is
    enough: a node dies with one of its items, and stays dead.

    Args:
        tree: of the active items.
        rows: catalogue positions each row may not hold; one that is not active is no error.
        strikes: most items that will be struck out of a row later.
    """

    def __init__(self, tree: PrefixTree, rows: Sequence[Collection[int]], strikes: int) -> None:
        self.tree = tree
        self.asked = Asked(*_padded(tree, rows, strikes))
        self._deaths: list[_Deaths] | None = None  # from the bottom up; known once a gate is asked for

    def __len__(self) -> int:
        return len(self.asked.slots)

    def take(self, rows: Tensor) -> "Exclusions":
        """Those of rows (B',), in that order and any number of times; apart from these from then on."""
        taken = copy(self)
        taken.asked = self.asked.take(rows)
        if self._deaths is not None:
            taken._deaths = [deaths.take(rows) for deaths in self._deaths]
        return taken

    def gate(self, level: int) -> Gate:
        if self._deaths is None:
            self._deaths = self._first_deaths()
        above = self.tree.depth - level - 1
        return Gate(self._deaths[above].doors) if above < len(self._deaths) else OPEN

    def has(self, slots: Tensor) -> Tensor:
        return (slots < self.tree.count) & self.asked.unstruck(slots)

    def strike(self, slots: Tensor) -> None:
        at = self.asked.given + self.asked.position
        self.asked.choose(slots)
        node = self.tree.leaves(slots) if self._deaths else slots
        for deaths in self._deaths or ():
            node = deaths.strike(at, node)

    def _first_deaths(self) -> "list[_Deaths]":
        tree, slots = self.tree, self.asked.slots.sort(dim=1).values
        node, out = tree.leaves(slots), list[_Deaths]()
        for depth in range(tree.depth, 0, -1):
            if tree.nodes[depth].smallest > slots.shape[1]:
                break  # no row excludes enough to kill a subtree here, or above
            out.append(_Deaths(tree, depth, node))
            node = tree.facts(depth, node)[..., 0].contiguous()
        return out


class _Deaths:
    """Which nodes of one depth have died, by the excluded items under them.

    Args:
        nodes: (B, E), each row's nodes over its excluded items, in rising order.
    """

    def __init__(self, tree: PrefixTree, depth: int, nodes: Tensor) -> None:
        self.tree, self.depth = tree, depth
        self.single = tree.nodes[depth].largest == 1  # then a node dies with its only item
        self.nodes = nodes
        parents, columns, items = tree.facts(depth, nodes).unbind(2)
        excluded = torch.searchsorted(nodes, nodes, right=True) - torch.searchsorted(nodes, nodes)
        self.doors = Doors(torch.where(excluded == items, parents, -1), columns.long())

    def take(self, rows: Tensor) -> "_Deaths":
        """See `Exclusions.take`."""
        taken = copy(self)
        taken.nodes = self.nodes[rows]
        taken.doors = Doors(self.doors.parents[rows], self.doors.columns[rows])
        return taken

    def strike(self, at: int, nodes: Tensor) -> Tensor:
        """Enter the nodes (B,) over newly excluded items at index `at`. Returns their parents."""
        parents, columns, items = self.tree.facts(self.depth, nodes).unbind(1)
        doors = parents
        if not self.single:
            self.nodes.select(1, at).copy_(nodes)
            excluded = (self.nodes == nodes.unsqueeze(1)).sum(dim=1)
            doors = torch.where(excluded == items, parents, -1)
        self.doors.parents.select(1, at).copy_(doors)
        self.doors.columns.select(1, at).copy_(columns)
        return parents


class EligibleMask:
    """What a mask allows: the number of eligible items under every node, row by row.

    Args:
        tree: of the active items.
        mask: (B, N) bool over catalogue positions.
    """

    def __init__(self, tree: PrefixTree, mask: Tensor) -> None:
        self.tree = tree
        if mask.shape[1] != tree.catalog_size:
            raise InputError(
                f"mask over {mask.shape[1]} items for a catalogue of {tree.catalog_size}; "
                "give one value an item"
            )
        if tree.positions is not None:
            mask = mask[:, tree.positions[:-1].long()]
        nowhere = mask.new_zeros((len(mask), 1))
        self._open = torch.cat([mask, nowhere], dim=1)  # (B, count + 1)
        below = torch.cat([nowhere.long(), mask.cumsum(dim=1)], dim=1)
        self._left = [  # (B, n + 1) int64, depth by depth
            self._open.long() if nodes.items is None else below[:, nodes.items.long()].diff(dim=1)
            for nodes in tree.nodes
        ]
        self._rows = torch.arange(len(mask))
        self._bits = [NodeBits(left.view(-1, 1), start=self._rows * left.shape[1]) for left in self._left[1:]]
        self.asked = Asked(self._rows.new_empty((len(mask), 0)), 0, bits=self._bits)

    def __len__(self) -> int:
        return len(self._open)

    def gate(self, level: int) -> Gate:
        return Gate(bits=self._bits[level])

    def has(self, slots: Tensor) -> Tensor:
        return self._open.gather(1, slots)

    def strike(self, slots: Tensor) -> None:
        self._open[self._rows, slots] = False
        node = self.tree.leaves(slots)
        for depth in range(self.tree.depth, 0, -1):
            self._left[depth][self._rows, node] -= 1
            node = self.tree.facts(depth, node)[:, 0]


def pick_items(eligibility: Eligibility, leaves: Tensor, item_scores: Tensor | None = None) -> Tensor:
    """The slot that each leaf (B,) stands for, an eligible item of that semantic ID; `count` for nowhere.

    Args:
        item_scores: (N,) finite, in catalogue order: the highest wins. None: the first in catalogue
            order, which is by falling priority.
    """
    tree = eligibility.tree
    items = tree.nodes[-1].items
    if items is None:
        return leaves
    slots = items.take(leaves)[:, None] + torch.arange(tree.nodes[-1].largest)  # (B, S)
    eligible = slots < items.take(leaves + 1)[:, None]
    slots = slots.clamp(max=tree.count)
    eligible &= eligibility.has(slots)
    if item_scores is None:
        best = eligible.int().argmax(dim=1)
    else:
        scores = item_scores.take(tree.catalog_positions(slots))
        best = scores.masked_fill(~eligible, -torch.inf).argmax(dim=1)
    return slots.gather(1, best[:, None])[:, 0]


def _padded(tree: PrefixTree, rows: Sequence[Collection[int]], strikes: int) -> tuple[Tensor, int]:
    """(B, E) int64 distinct slots, rising, `count` behind them; and the longest row's length."""
    distinct = [
        tree.slots(torch.from_numpy(np.unique(np.fromiter(row, np.int64)))).sort().values for row in rows
    ]
    longest = max((len(slots) for slots in distinct), default=0)
    padded = torch.full((len(rows), longest + strikes), tree.count)
    for row, slots in enumerate(distinct):
        padded[row, : len(slots)] = slots
    return padded, longest
