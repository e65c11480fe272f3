"""Which children a beam may enter, as data: what every kind of eligibility says at one depth of the tree.

So there is one rule for all of them, here in torch and once more in the kernels of engine `cpu`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from higr.prefix_tree import Children


@dataclass(frozen=True)
class NodeBits:
    """R words of bits for every node of a depth, as the rows of a batch see them; none for nowhere.

    Attributes:
        table: (any, R) int64.
        which: (n + 1, 1) int32, the row of the table of each node; None: the row's start + the node.
        inside: (any, 1) bool, whether start + node has its bits; None: all have.
        start: (B,) int64; None: 0.
    """

    table: Tensor
    which: Tensor | None = None
    inside: Tensor | None = None
    start: Tensor | None = None

    def take(self, nodes: Tensor) -> Tensor:
        """(B, ..., R) of nodes (B, ...)."""
        at = nodes
        if self.start is not None:
            at = nodes + self.start.view(-1, *[1] * (nodes.dim() - 1))
        if self.which is None:
            return torch.embedding(self.table, at)
        bits = torch.embedding(self.table, torch.embedding(self.which, nodes).squeeze(-1))
        return bits if self.inside is None else bits * torch.embedding(self.inside, at)


@dataclass(frozen=True)
class Doors:
    """A list of nodes for each row, as its beams come to them.

    Attributes:
        parents: (B, E) int32; -1, where no beam stands, behind the list.
        columns: (B, E) int64 where a node stands among the children of its parent.
    """

    parents: Tensor
    columns: Tensor


@dataclass(frozen=True)
class Gate:
    """What is shut at one depth, for B rows.

    Attributes:
        shut: nodes by name; None: none.
        bits: of all nodes: one without an open bit is shut. None: not asked.
        open: (B, R) int64 bits that are open; None: all.
        only: (B,) int32 the one node that is open, whatever all else says; -1 where all else counts.
            None: so everywhere.
    """

    shut: Doors | None = None
    bits: NodeBits | None = None
    open: Tensor | None = None
    only: Tensor | None = None

    def dead(self, nodes: Tensor, children: Children) -> Tensor:
        """(B, W, C) bool: children of nodes (B, W) that are missing or shut."""
        dead = children.missing
        if self.bits is not None:
            dead = dead | none_of(self.bits.take(children.nodes), self.open)
        if self.shut is not None:
            met = nodes.unsqueeze(2) == self.shut.parents.unsqueeze(1)  # (B, W, E)
            columns = self.shut.columns.unsqueeze(1).expand_as(met)
            dead = dead.scatter_add(2, columns, met)  # a sum of bools: true if any is
        if self.only is None:
            return dead
        only = self.only[:, None, None]
        return torch.where(only < 0, dead, children.missing | (children.nodes != only))


def none_of(bits: Tensor, open_: Tensor | None) -> Tensor:
    """(B, ...) bool: which of bits (B, ..., R) have none in common with open_ (B, R); None: are all 0."""
    if open_ is not None:
        bits = bits & open_.view(len(bits), *[1] * (bits.dim() - 2), -1)
    if bits.dtype == torch.bool:
        return ~bits[..., 0]
    return bits[..., 0] == 0 if bits.shape[-1] == 1 else (bits == 0).all(dim=-1)
