"""What the constraints of each row of a batch have left under the nodes of a prefix tree."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from higr.decode.item_bits import ItemBits, union
from higr.gate import Doors, none_of
from higr.prefix_tree import PrefixTree


class Left:
    """Nodes of one depth that lost something, and the bits (`higr.decode.item_bits`) that are left of each.

    A node may be here several times; all its entries say the same.

    Args:
        tree: of the active items.
        depth: 1 .. D.
        nodes: (B, E) int32; nowhere behind them.
        left: (B, E, R) bits of the eligible items below, whether the node is closed or not.
        closed: (B, E) bool, nodes without an eligible item whatever is below; None where none ever is.
        strikes: nodes of each row that will be entered later.
        follows: whether a node can lose what its children, or at depth D its items, have lost. If not, the
            depth is here for nodes that are closed.
    """

    def __init__(
        self,
        tree: PrefixTree,
        depth: int,
        nodes: Tensor,
        left: Tensor,
        closed: Tensor | None,
        strikes: int,
        follows: bool,
    ) -> None:
        self.tree, self.depth, self.follows, self._filled = tree, depth, follows, nodes.shape[1]
        # A leaf that is one item is here only when the item is taken away, or the leaf closed: for good.
        self.items = depth == tree.depth and tree.nodes[-1].items is None
        self.nodes = F.pad(nodes, (0, strikes), value=tree.nodes[depth].count)
        self.left = F.pad(left, (0, 0, 0, strikes))
        self._closed = None if closed is None else F.pad(closed, (0, strikes))
        parents, columns, _ = tree.facts(depth, self.nodes).unbind(2)
        self._parents, self._columns = parents.contiguous(), columns.long()
        self._doors = self._parents

    def refresh(self, open_: Tensor | None) -> None:
        """Find the dead nodes anew. open_: (B, R), categories that may be chosen; None: all."""
        if self.items:
            return
        dead = self._closed
        if self.follows or dead is None:
            none = none_of(self.left, open_)
            dead = none if dead is None else none | dead
        self._doors = torch.where(dead, self._parents, -1)  # no beam stands on -1

    @property
    def dead(self) -> Doors:
        """The nodes that are dead."""
        return Doors(self._doors, self._columns)

    def put_into(self, bits: Tensor, nodes: Tensor) -> Tensor:
        """(B, C, R) bits of the children of nodes (B,) of the depth above, with those here in their place."""
        columns = torch.where(self._parents == nodes.unsqueeze(1), self._columns, bits.shape[1])
        left = self.effective()
        return F.pad(bits, (0, 0, 0, 1)).scatter(1, columns.unsqueeze(2).expand_as(left), left)[:, :-1]

    def effective(self) -> Tensor:
        """(B, E, R) bits left, none where a node is closed."""
        return self.left if self._closed is None else self.left * ~self._closed.unsqueeze(2)

    def of(self, nodes: Tensor, every: Tensor) -> Tensor:
        """(B, R) bits left of nodes (B,), closed or not. every: (B, R) what they have without constraints."""
        if not self.follows:
            return every
        here = self.nodes == nodes.unsqueeze(1)
        left = (self.left * here.unsqueeze(2)).amax(dim=1)
        return torch.where(here.any(dim=1, keepdim=True), left, every)

    def enter(self, nodes: Tensor, left: Tensor, closing: Tensor | None) -> Tensor:
        """Enter nodes (B,) with the bits (B, R) left of them, and close some (B,). Returns their parents."""
        parents, columns, _ = self.tree.facts(self.depth, nodes).unbind(1)
        self.nodes.select(1, self._filled).copy_(nodes)
        self._parents.select(1, self._filled).copy_(parents)
        self._columns.select(1, self._filled).copy_(columns)
        if not self.items or self._closed is not None:
            here = self.nodes == nodes.unsqueeze(1)  # (B, E)
            if self.follows:
                self.left = torch.where(here.unsqueeze(2), left.unsqueeze(1), self.left)
            if closing is not None and self._closed is not None:
                self._closed = self._closed | (here & closing.unsqueeze(1))
        self._filled += 1
        return parents


def first_left(
    bits: ItemBits, forbidden: Tensor, closed: Mapping[int, Tensor], strikes: int
) -> dict[int, Left]:
    """What is left before the first position, depth by depth, where anything is or can be lost.

    Args:
        forbidden: (B, E) slots in rising order; the tree's `count` behind them.
        closed: depth to (B, X) nodes, nowhere among them; also where a depth's nodes are closed later.
        strikes: items that will be struck out of a row later.
    """
    tree = bits.tree
    out: dict[int, Left] = {}
    for depth in range(tree.depth, 0, -1):
        below = out.get(depth + 1)
        follows = depth == tree.depth or (below is not None and bits.may_die(depth, below.nodes.shape[1]))
        if not follows and depth not in closed:
            continue
        nodes = tree.leaves(forbidden).int() if depth == tree.depth else forbidden[:, :0].int()
        if below is not None and follows:
            nodes = tree.facts(depth + 1, below.nodes)[..., 0]
        if depth in closed:
            nodes = torch.cat([nodes, closed[depth]], dim=1)
        nodes = _distinct(nodes, tree.nodes[depth].count)
        if depth == tree.depth:
            left = _left_of_items(bits, nodes, forbidden)
        elif below is not None and follows:
            left = _left_of_children(bits, depth, nodes, below)
        else:
            left = bits.of(depth, nodes)
        shut = (nodes.unsqueeze(2) == closed[depth].unsqueeze(1)).any(dim=2) if depth in closed else None
        out[depth] = Left(tree, depth, nodes, left, shut, strikes, follows)
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


def _left_of_items(bits: ItemBits, leaves: Tensor, forbidden: Tensor) -> Tensor:
    """(B, E, R) of the items of leaves (B, E) that are not forbidden."""
    slots = items_of(bits.tree, leaves)  # (B, E, S)
    if forbidden.shape[1]:
        flat = slots.flatten(1)
        at = torch.searchsorted(forbidden, flat).clamp(max=forbidden.shape[1] - 1)
        slots = slots.masked_fill((forbidden.gather(1, at) == flat).view_as(slots), bits.tree.count)
    return union(bits.items(slots))


def _left_of_children(bits: ItemBits, depth: int, nodes: Tensor, below: Left) -> Tensor:
    """(B, E, R) of the children of nodes (B, E) of this depth, of which `below` says what is left."""
    live = bits.children(depth, bits.tree.children(depth, nodes))  # (B, E, C, R)
    parents, columns, _ = bits.tree.facts(depth + 1, below.nodes).unbind(2)  # (B, E')
    place = torch.searchsorted(nodes, parents.contiguous()) * live.shape[2] + columns  # in (E, C)
    left = below.effective()
    flat = live.flatten(1, 2).scatter(1, place.unsqueeze(2).expand_as(left), left)
    return union(flat.view_as(live))


def _distinct(nodes: Tensor, nowhere: int) -> Tensor:
    """(B, E) the same nodes once each in rising order, nowhere behind them; at least one column."""
    nodes = F.pad(nodes, (0, 1), value=nowhere).sort(dim=1).values
    nodes[:, 1:].masked_fill_(nodes[:, 1:] == nodes[:, :-1], nowhere)
    nodes = nodes.sort(dim=1).values
    return nodes[:, : int((nodes < nowhere).sum(dim=1).max()) + 1].contiguous()
