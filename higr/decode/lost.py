"""What the nodes of a prefix tree have lost to the constraints of each row of a batch."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from higr.decode.item_bits import ItemBits
from higr.prefix_tree import PrefixTree


class Lost:
    """Nodes of one depth that lost bits (`higr.decode.item_bits`).

    Args:
        tree: of the active items.
        depth: 1 .. D.
        nodes: (B, E) distinct nodes in rising order; nowhere behind them.
        lost: (B, E, R) bits that no eligible item below has any more.
        gone: (B, E, R) the same, or, where the node is closed, all its bits.
        strikes: nodes of each row that will be entered later.
        follows: whether a node loses what its children, or at depth D its items, have all lost. False
            where a node cannot lose so much; then the depth is here for the nodes that are closed.
    """

    def __init__(
        self,
        tree: PrefixTree,
        depth: int,
        nodes: Tensor,
        lost: Tensor,
        gone: Tensor,
        strikes: int,
        follows: bool,
    ) -> None:
        self.tree, self.depth, self.follows, self._filled = tree, depth, follows, nodes.shape[1]
        self._nowhere = tree.nodes[depth].count
        self.nodes = F.pad(nodes, (0, strikes), value=self._nowhere)
        self.lost, self.gone = F.pad(lost, (0, 0, 0, strikes)), F.pad(gone, (0, 0, 0, strikes))
        parents, columns, _ = tree.facts(depth, self.nodes).unbind(2)
        self._parents, self._columns = parents.unsqueeze(1), columns.long().unsqueeze(1)  # (B, 1, E)
        self._doors = self._parents_of_gone()

    def missing(self, missing: Tensor, nodes: Tensor) -> Tensor:
        """(B, W, C) bool: missing, and children of nodes (B, W) of the depth above that are gone.

        Only where all items are of one kind: then a node that lost anything lost everything.
        """
        met = nodes.unsqueeze(2) == self._doors
        return missing.scatter_add(2, self._columns.expand_as(met), met)  # a sum of bools: true if any is

    def taken_from(self, bits: Tensor, nodes: Tensor) -> Tensor:
        """(B, W, C, R): bits of the children of nodes (B, W) of the depth above, less what is gone."""
        met = nodes.unsqueeze(2) == self._parents  # (B, W, E)
        gone = met.unsqueeze(3) * self.gone.unsqueeze(1)  # (B, W, E, R)
        # A node is here once and has what it loses: taking away is subtracting.
        return bits.scatter_add(2, self._columns.unsqueeze(3).expand_as(gone), -gone)

    def of(self, nodes: Tensor) -> Tensor:
        """(B, R) bits that nodes (B,) lost, closed or not."""
        return (self.lost * (self.nodes == nodes.unsqueeze(1)).unsqueeze(2)).sum(dim=1)

    def enter(self, nodes: Tensor, lost: Tensor, gone: Tensor) -> Tensor:
        """What nodes (B,) have lost by now: lost, gone (B, R). Returns their parents."""
        parents, columns, _ = self.tree.facts(self.depth, nodes).unbind(1)
        here = self.nodes == nodes.unsqueeze(1)  # (B, E)
        known = here.any(dim=1)
        at = self._filled
        here.select(1, at).copy_(~known)
        self.nodes.select(1, at).copy_(torch.where(known, self._nowhere, nodes))
        self._parents.select(2, at).copy_(torch.where(known, -1, parents).unsqueeze(1))
        self._columns.select(2, at).copy_(columns.unsqueeze(1))
        here = here.unsqueeze(2)
        self.lost = torch.where(here, lost.unsqueeze(1), self.lost)
        self.gone = torch.where(here, gone.unsqueeze(1), self.gone)
        self._doors = self._parents_of_gone()
        self._filled += 1
        return parents

    def _parents_of_gone(self) -> Tensor:
        """(B, 1, E), -1 where nothing is gone: no beam stands there."""
        return torch.where((self.gone[..., 0] != 0).unsqueeze(1), self._parents, -1)


def first_losses(
    bits: ItemBits, which: Tensor, forbidden: Tensor, closed: Mapping[int, Tensor], strikes: int
) -> dict[int, Lost]:
    """What is lost before the first position, depth by depth, where anything is or can be.

    Args:
        which: (B,) set of `ItemBits` of each row.
        forbidden: (B, E) slots in rising order; the tree's `count` behind them.
        closed: depth to (B, X) nodes, nowhere among them; also where a depth's nodes are closed later.
        strikes: items that will be struck out of a row later.
    """
    tree = bits.tree
    out: dict[int, Lost] = {}
    for depth in range(tree.depth, 0, -1):
        below = out.get(depth + 1)
        follows = depth == tree.depth or (below is not None and bits.may_die(depth, below.nodes.shape[1]))
        if not follows and depth not in closed:
            continue
        if depth == tree.depth:
            nodes = tree.leaves(forbidden).int()
        elif below is not None and follows:
            nodes = tree.facts(depth + 1, below.nodes)[..., 0]
        else:
            nodes = forbidden[:, :0].int()
        if depth in closed:
            nodes = torch.cat([nodes, closed[depth]], dim=1)
        nodes = _distinct(nodes, tree.nodes[depth].count)
        every = bits.of(depth, nodes, which)  # (B, E, R)
        if depth == tree.depth:
            lost = every - _live_items(bits, which, nodes, forbidden)
        elif below is not None and follows:
            lost = every - _live_children(bits, which, depth, nodes, below)
        else:
            lost = torch.zeros_like(every)
        gone = lost
        if depth in closed:
            shut = (nodes.unsqueeze(2) == closed[depth].unsqueeze(1)).any(dim=2)
            gone = torch.where(shut.unsqueeze(2), every, lost)
        out[depth] = Lost(tree, depth, nodes, lost, gone, strikes, follows)
    return out


def items_of(tree: PrefixTree, leaves: Tensor) -> Tensor:
    """(..., S) slots of the items of leaves (...), the tree's `count` behind them."""
    first = tree.nodes[-1].items
    if first is None:
        return leaves.long().unsqueeze(-1)
    leaves = leaves.long()
    slots = first.take(leaves).unsqueeze(-1) + torch.arange(
        max(tree.nodes[-1].largest, 1), device=first.device
    )
    return slots.masked_fill(slots >= first.take(leaves + 1).unsqueeze(-1), tree.count)


def _live_items(bits: ItemBits, which: Tensor, leaves: Tensor, forbidden: Tensor) -> Tensor:
    """(B, E, R) of the items of leaves (B, E) that are not forbidden."""
    slots = items_of(bits.tree, leaves)  # (B, E, S)
    flat = slots.flatten(1)
    if forbidden.shape[1]:
        at = torch.searchsorted(forbidden, flat).clamp(max=forbidden.shape[1] - 1)
        flat = torch.where(forbidden.gather(1, at) == flat, bits.tree.count, flat)
    return bits.union(bits.items(flat, which).view(*slots.shape, -1))


def _live_children(bits: ItemBits, which: Tensor, depth: int, nodes: Tensor, below: Lost) -> Tensor:
    """(B, E, R) of the children of nodes (B, E) of this depth, less what `below` has lost of them."""
    children = bits.tree.children(depth, nodes)
    live = bits.children(depth, children, which) * ~children.missing.unsqueeze(3)  # (B, E, C, R)
    parents, columns, _ = bits.tree.facts(depth + 1, below.nodes).unbind(2)  # (B, E')
    at = torch.searchsorted(nodes, parents.contiguous()).clamp(max=nodes.shape[1] - 1)
    place = at * live.shape[2] + columns  # in (E, C)
    flat = live.flatten(1, 2).scatter_add(1, place.unsqueeze(2).expand_as(below.gone), -below.gone)
    return bits.union(flat.view_as(live))


def _distinct(nodes: Tensor, nowhere: int) -> Tensor:
    """(B, E) the same nodes once each in rising order, nowhere behind them; at least one column."""
    nodes = F.pad(nodes, (0, 1), value=nowhere).sort(dim=1).values
    nodes[:, 1:].masked_fill_(nodes[:, 1:] == nodes[:, :-1], nowhere)
    nodes = nodes.sort(dim=1).values
    return nodes[:, : int((nodes < nowhere).sum(dim=1).max()) + 1].contiguous()
