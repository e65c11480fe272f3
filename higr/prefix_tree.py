"""The prefix tree that keeps decoding inside the catalogue.

Items stand in lexicographic order of their codes, so all items under a prefix stand side by side: a
node is a range of items, the nodes of one depth are numbered in that order, and the children of a
node are a range of the next depth's numbers. The edges between two depths are kept in one of two
forms behind one interface: a dense table with a column for every code, which is a bitmap that also
names the child, or compressed sparse rows (CSR), padded to the most children any node has.

What is eligible in a request is not the tree's business: see `higr.eligibility`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from higr.errors import InputError

Layout = Literal["auto", "dense", "csr"]

DENSE_BYTES = 300_000_000
"""Most memory a dense table of one depth may take. Not reported by the paper."""

DENSE_COLUMNS = 512
DENSE_FILL = 0.25
"""Up to so many codes, or where some node has so large a share of the codes as children, the empty
columns of a dense table cost the beam search less than the extra operations of CSR (measured)."""


@dataclass(frozen=True)
class Nodes:
    """The n nodes of one depth, and behind them number n, `nowhere`: a node without items or children.

    Attributes:
        count: n.
        code: (n + 1,) int32, the last code of each node's prefix.
        spoken: (n + 1,) int32, the last code of each node's stand-in: what the model is asked and told.
            `code` itself where no node of the depth has another stand-in than itself.
        new: (n + 1,) float32, 1 where a node has another stand-in than itself and the node above has not;
            else 0. None where all is 0.
        items: (n + 2,) int32; node i holds the items in slots items[i] .. items[i + 1] - 1. None where
            node and slot are one number: at depth D of a catalogue without shared semantic IDs.
        first: (n + 2,) int32; node i's children are nodes first[i] .. first[i + 1] - 1 of the next
            depth. Empty at depth D.
        smallest, largest: fewest and most items of a node; 0 if there is no node.
        widest: most children of a node.
    """

    count: int
    code: Tensor
    spoken: Tensor
    new: Tensor | None
    items: Tensor | None
    first: Tensor
    smallest: int
    largest: int
    widest: int


@dataclass(frozen=True)
class Children:
    """The children of the nodes that B rows of W beams stand on, in C columns.

    Attributes:
        nodes: (B, W, C) int32 nodes of the next depth; any node where there is no child.
        missing: (B, W, C) bool, true where there is no child.
        codes: (B, W, C) int64, the code that the model speaks for each child: the one that leads there,
            or its stand-in's. None where the column is the code.
        new: (B, W, C) float32, 1 where the way to a child leaves what the model was trained with, else 0.
            None where it nowhere does.
    """

    nodes: Tensor
    missing: Tensor
    codes: Tensor | None
    new: Tensor | None

    def expand(self, rows: int) -> "Children":
        """The children of one row as those of several."""
        nodes, missing = self.nodes.expand(rows, -1, -1), self.missing.expand(rows, -1, -1)
        codes, new = (None if part is None else part.expand(rows, -1, -1) for part in (self.codes, self.new))
        return Children(nodes, missing, codes, new)


class PrefixTree:
    """The codes of a catalogue's active items as tensors. Depth 0 is the root, depth D the semantic IDs.

    The items of the tree are numbered 0 .. count - 1 in catalogue order: their slots. Slot `count`
    stands for no item.

    Args:
        codes: (N, D) int, rows in lexicographic order; items of one semantic ID are neighbours.
        codebook_size: K.
        active: (N,) bool, items of this catalogue version that may be generated; None: all.
        layout: form of the edges at all depths; `auto` chooses for each.
        stand_ins: (N, D) int, the semantic ID whose likelihood each item has, equal prefixes for equal
            prefixes (`higr.stand_ins`); None: its own.

    Raises:
        InputError: rows out of order.
    """

    def __init__(
        self,
        codes: np.ndarray,
        codebook_size: int,
        active: np.ndarray | None = None,
        layout: Layout = "auto",
        stand_ins: np.ndarray | None = None,
    ) -> None:
        self.positions: Tensor | None = None  # (count + 1,) int32 catalogue position of each slot
        self.catalog_size, self.codebook_size = len(codes), codebook_size
        if active is not None and not active.all():
            kept = np.flatnonzero(active)
            self.positions = torch.from_numpy(np.append(kept, 0).astype(np.int32))
            codes, stand_ins = codes[kept], None if stand_ins is None else stand_ins[kept]
        self.count, self.depth = codes.shape
        self.nodes = _nodes(codes, codes if stand_ins is None else stand_ins)
        # (n + 1, K) int32 child by code, or None where the edges are CSR; a level
        self.tables = [
            _dense_table(nodes, below, codebook_size) if _is_dense(nodes, codebook_size, layout) else None
            for nodes, below in zip(self.nodes[:-1], self.nodes[1:], strict=True)
        ]
        self._facts = [
            _facts(nodes, below, dense=table is not None)
            for nodes, below, table in zip(self.nodes[:-1], self.nodes[1:], self.tables, strict=True)
        ]
        self._columns = [torch.arange(max(nodes.widest, 1), dtype=torch.int32) for nodes in self.nodes]
        self._root = self._look_up(0, torch.zeros((1, 1), dtype=torch.int32))

    @property
    def layouts(self) -> list[str]:
        """`dense` or `csr` for the edges from each depth to the next."""
        return ["csr" if table is None else "dense" for table in self.tables]

    @property
    def nbytes(self) -> int:
        """Memory of all tensors, in bytes."""
        tensors = [self.positions, *self.tables, *self._facts, *self._columns]
        for nodes in self.nodes:
            tensors += [nodes.code, nodes.items, nodes.first]
            tensors += [nodes.new, nodes.spoken if nodes.spoken is not nodes.code else None]
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    # -- down: from beams to their children ---------------------------------------------------

    def children(self, level: int, nodes: Tensor) -> Children:
        """Children of nodes of depth `level`, (B, W). The number of columns is the level's own.

        The tensors may be shared between calls: leave them as they are.
        """
        if level == 0:
            root, rows = self._root, len(nodes)
            return root if rows == 1 else root.expand(rows)
        return self._look_up(level, nodes)

    def _look_up(self, level: int, nodes: Tensor) -> Children:
        table, below = self.tables[level], self.nodes[level + 1]
        if table is not None:
            found = torch.embedding(table, nodes)  # (B, W, K)
            spoken = None if below.spoken is below.code else below.spoken.take(found.long()).long()
            return Children(found, found == below.count, spoken, _taken(below.new, found))
        first = self.nodes[level].first
        nodes = nodes.long()
        start, end = first.take(nodes), first.take(nodes + 1)
        found = start.unsqueeze(2) + self._columns[level]  # (B, W, C)
        missing = found >= end.unsqueeze(2)
        found.clamp_(max=below.count)
        return Children(found, missing, below.spoken.take(found.long()).long(), _taken(below.new, found))

    # -- up: from items to the nodes above them -----------------------------------------------

    def slots(self, positions: Tensor) -> Tensor:
        """Slots of catalogue positions; `count` for an item that is not active."""
        if self.positions is None:
            return positions
        slots = torch.searchsorted(self.positions[:-1], positions.int())
        return torch.where(self.positions.take(slots) == positions, slots, self.count)

    def catalog_positions(self, slots: Tensor) -> Tensor:
        """Catalogue positions of slots, int64; any position for no item."""
        if self.positions is None:
            return slots.clamp(max=self.count - 1)
        return self.positions.take(slots).long()

    def leaves(self, slots: Tensor) -> Tensor:
        """Nodes of depth D of slots."""
        items = self.nodes[-1].items
        return slots if items is None else torch.searchsorted(items[1:-1], slots.int(), right=True)

    def facts(self, depth: int, nodes: Tensor) -> Tensor:
        """(..., 3) int32 of nodes (...) of depth 1 .. D: parent, column, items.

        Column is where the node stands in `children` of its parent; items is how many it holds.
        """
        return torch.embedding(self.facts_of(depth), nodes)

    def facts_of(self, depth: int) -> Tensor:
        """(n + 1, 3) of all nodes of depth 1 .. D and nowhere."""
        return self._facts[depth - 1]


def _taken(values: Tensor | None, nodes: Tensor) -> Tensor | None:
    return None if values is None else values.take(nodes.long())


def _nodes(codes: np.ndarray, stand_ins: np.ndarray) -> list[Nodes]:
    """The nodes of depths 0 .. D."""
    count, depth = codes.shape
    starts = np.zeros(1, np.int32)  # slot of each node's first item, depth by depth
    code = spoken = new = np.zeros(1, np.int32)
    apart = np.zeros(count, bool)  # whether a slot's prefix and its stand-in's differ
    opens = np.zeros(count, bool)  # whether a slot is the first of its node
    opens[:1] = True
    out = []
    for level in range(depth):
        change = np.diff(codes[:, level])
        if ((change < 0) & ~opens[1:]).any():
            raise InputError(
                f"prefix tree: the codes are not in lexicographic order at level {level + 1}; "
                "build the tree from a Catalog, which sorts them"
            )
        opens[1:] |= change != 0
        below = np.flatnonzero(opens).astype(np.int32)
        rank = np.append(np.cumsum(opens, dtype=np.int32) - 1, len(below))  # node below of each slot
        first = rank[np.append(starts, count)].astype(np.int32)
        out.append(_depth(code, spoken, new, starts, count, first))
        starts, code = below, codes[below, level].astype(np.int32)
        spoken = stand_ins[below, level].astype(np.int32)
        new = (spoken != code) & ~apart[below]
        apart |= codes[:, level] != stand_ins[:, level]
    out.append(_depth(code, spoken, new, starts, count, np.zeros(0, np.int32)))
    return out


def _depth(
    code: np.ndarray,
    spoken: np.ndarray,
    new: np.ndarray,
    starts: np.ndarray,
    count: int,
    first: np.ndarray,
) -> Nodes:
    """One depth of `_nodes`, with nowhere behind it. first: (n + 1,), empty at depth D."""
    edges = np.concatenate([starts, np.full(2, count, np.int32)])
    size = np.diff(edges[:-1])
    own = torch.from_numpy(np.append(code, np.int32(0)))
    same = np.array_equal(code, spoken)
    return Nodes(
        count=len(starts),
        code=own,
        new=torch.from_numpy(np.append(new, 0).astype(np.float32)) if new.any() else None,
        spoken=own if same else torch.from_numpy(np.append(spoken, np.int32(0))),
        items=None if not len(first) and len(starts) == count else torch.from_numpy(edges),
        first=torch.from_numpy(np.append(first, first[-1:])),
        smallest=int(size.min(initial=count)),
        largest=int(size.max(initial=0)),
        widest=int(np.diff(first).max(initial=0)),
    )


def _is_dense(nodes: Nodes, codebook_size: int, layout: Layout) -> bool:
    if layout != "auto":
        return layout == "dense"
    fits = 4 * (nodes.count + 1) * codebook_size <= DENSE_BYTES
    return fits and (codebook_size <= DENSE_COLUMNS or nodes.widest >= DENSE_FILL * codebook_size)


def _dense_table(nodes: Nodes, below: Nodes, codebook_size: int) -> Tensor:
    """(n + 1, K) int32, the child of each node by each code, or nowhere."""
    table = np.full((nodes.count + 1, codebook_size), below.count, np.int32)
    children = np.diff(nodes.first.numpy()[:-1])
    table[np.repeat(np.arange(nodes.count), children), below.code.numpy()[:-1]] = np.arange(below.count)
    return torch.from_numpy(table)


def _facts(above: Nodes, nodes: Nodes, *, dense: bool) -> Tensor:
    """(n + 1, 3) int32 parent, column and items of each node; nowhere's parent is nowhere."""
    first = above.first.numpy()
    facts = np.zeros((nodes.count + 1, 3), np.int32)
    parents, columns, items = facts[:-1].T
    facts[-1, 0] = above.count
    parents[:] = np.repeat(np.arange(above.count, dtype=np.int32), np.diff(first[:-1]))
    columns[:] = nodes.code.numpy()[:-1]
    if not dense:
        columns[:] = np.arange(nodes.count, dtype=np.int32) - first[parents]
    items[:] = 1 if nodes.items is None else np.diff(nodes.items.numpy()[:-1])
    return torch.from_numpy(facts)
