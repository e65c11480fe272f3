"""Which kinds of items stand under a node of the prefix tree, as bits.

A kind is a category. A node is worth entering while one of its kinds is still open and some item of
that kind below it is eligible, so one bit a kind says all that a search needs to know of a node, in a
thirty-second of what counts would take. A registered set of items has bits of its own: those of its
items alone. Where a request asks for neither, all items are of one kind and no table is needed.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from higr.errors import InputError
from higr.gate import NodeBits
from higr.prefix_tree import Children, PrefixTree

WORD = 63
"""Kinds that a word of int64 tells apart; the sign stays out of it."""

TABLE_BYTES = 1_000_000_000
"""Most memory that the bits of all sets may take. Not reported by the paper."""


class ItemBits(Protocol):
    """Bits of nodes and items, R words each, as the rows of one batch see them.

    Attributes:
        words: R.
        dtype: int64, or bool where there is but one bit.
    """

    tree: PrefixTree
    words: int
    dtype: torch.dtype

    def of(self, depth: int, nodes: Tensor) -> Tensor:
        """(B, ..., R) of int32 nodes (B, ...); 0 for nowhere."""
        ...

    def items(self, slots: Tensor) -> Tensor:
        """(B, ..., R) of slots (B, ...); 0 for no item."""
        ...

    def children(self, level: int, children: Children) -> Tensor:
        """(B, W, C, R) of the children of nodes of depth `level`; 0 where one is missing."""
        ...

    def may_die(self, depth: int, lost: int) -> bool:
        """Whether a node of this depth can lose a bit when `lost` of its children have."""
        ...


class OneKind:
    """All active items, and no categories."""

    words, dtype = 1, torch.bool

    def __init__(self, tree: PrefixTree) -> None:
        self.tree = tree

    def of(self, depth: int, nodes: Tensor) -> Tensor:
        return (nodes < self.tree.nodes[depth].count).unsqueeze(-1)

    def items(self, slots: Tensor) -> Tensor:
        return (slots < self.tree.count).unsqueeze(-1)

    def children(self, level: int, children: Children) -> Tensor:
        return (~children.missing).unsqueeze(-1)

    def may_die(self, depth: int, lost: int) -> bool:
        return self._narrowest[depth] <= lost

    @cached_property
    def _narrowest(self) -> list[int]:
        """Fewest children of a node, depth by depth."""
        inner = self.tree.nodes[:-1]
        return [int(nodes.first[:-1].diff().min()) if nodes.count else 0 for nodes in inner]


class KindTables:
    """The bits of a catalogue version's items and nodes, made once over all items.

    Args:
        tree: of the active items.
        kinds: (count,) kind of each slot; None: all of one kind.
        members: (count,) bool for each set, the slots it holds.

    Raises:
        InputError: more memory than TABLE_BYTES.
    """

    def __init__(self, tree: PrefixTree, kinds: np.ndarray | None, members: Sequence[np.ndarray]) -> None:
        kinds = np.zeros(tree.count, np.int64) if kinds is None else kinds
        number = int(kinds.max(initial=0)) + 1
        self.tree, self.words, self.sets = tree, -(-number // WORD), len(members)
        # Leaves that are slots need no table.
        self.depth = tree.depth - 1 if tree.nodes[-1].items is None else tree.depth
        rows = sum(nodes.count + 1 for nodes in tree.nodes[1 : self.depth + 1])
        size = 8 * self.words * rows * self.sets
        if size > TABLE_BYTES:
            raise InputError(
                f"{number} categories and {self.sets - 1} registered sets of items over {rows} prefixes "
                f"would take {size / 1e9:.1f} GB, {TABLE_BYTES / 1e9:.1f} are allowed; register fewer sets, "
                "or give fewer and broader categories"
            )
        device = tree.nodes[0].code.device
        bits = np.zeros((number + 1, self.words), np.int64)  # behind the last kind: that of no item
        bits[np.arange(number), np.arange(number) // WORD] = 1 << (np.arange(number) % WORD)
        self.bits = torch.from_numpy(bits).to(device)
        self.kinds = torch.from_numpy(np.append(kinds, number).astype(np.int32)[:, None]).to(device)
        inside = np.concatenate([np.append(member, False) for member in members])
        self.inside = None if self.sets == 1 else torch.from_numpy(inside[:, None]).to(device)
        tables = [_tables(tree, bits, kinds, member, self.depth) for member in members]
        self.tables = [
            torch.from_numpy(np.concatenate(parts)).to(device) for parts in zip(*tables, strict=True)
        ]


def _tables(
    tree: PrefixTree, bits: np.ndarray, kinds: np.ndarray, members: np.ndarray, depth: int
) -> list[np.ndarray]:
    """(n + 1, R) bits of the nodes of depths 1 .. depth."""
    tables = [np.zeros((nodes.count + 1, bits.shape[1]), np.int64) for nodes in tree.nodes[1 : depth + 1]]
    for word in range(bits.shape[1] if tree.count else 0):
        of_items = np.where(members, bits[kinds, word], 0)
        for nodes, table in zip(tree.nodes[1 : depth + 1], tables, strict=True):
            items = nodes.items
            starts = np.arange(tree.count) if items is None else items.cpu().numpy()[:-2]
            table[:-1, word] = np.bitwise_or.reduceat(of_items, starts)
    return tables


class KindBits:
    """`KindTables` as the rows of one batch see them.

    Args:
        which: (B,) set that each row chooses from.

    Attributes:
        depths: of the nodes of depths 1 .. D.
        slots: of items.
    """

    dtype = torch.int64

    def __init__(self, tables: KindTables, which: Tensor) -> None:
        self.tables, self.tree, self.words = tables, tables.tree, tables.words

        def start(count: int) -> Tensor | None:
            """Where a row's set begins in a table; nothing to add where there is but one set."""
            return which * (count + 1) if tables.sets > 1 else None

        self.slots = NodeBits(tables.bits, tables.kinds, tables.inside, start(self.tree.count))
        self.depths = [
            NodeBits(table, start=start(nodes.count))
            for table, nodes in zip(tables.tables, self.tree.nodes[1:], strict=False)
        ]
        if tables.depth < self.tree.depth:  # leaves that are items
            self.depths.append(self.slots)

    def kinds(self, slots: Tensor) -> Tensor:
        """int32 kinds of slots (...); one more than there are for no item."""
        return torch.embedding(self.tables.kinds, slots).squeeze(-1)

    def of_kinds(self, kinds: Tensor) -> Tensor:
        """(..., R) of kinds (...)."""
        return torch.embedding(self.tables.bits, kinds)

    def of(self, depth: int, nodes: Tensor) -> Tensor:
        return self.depths[depth - 1].take(nodes)

    def items(self, slots: Tensor) -> Tensor:
        return self.slots.take(slots)

    def children(self, level: int, children: Children) -> Tensor:
        return self.of(level + 1, children.nodes) * ~children.missing.unsqueeze(-1)

    def may_die(self, depth: int, lost: int) -> bool:
        return lost > 0


def union(bits: Tensor) -> Tensor:
    """(..., R) of all of (..., X, R)."""
    if bits.dtype == torch.bool:
        return bits.any(dim=-2)
    while bits.shape[-2] > 1:
        if bits.shape[-2] % 2:
            bits = F.pad(bits, (0, 0, 0, 1))
        half = bits.shape[-2] // 2
        bits = bits[..., :half, :] | bits[..., half:, :]
    return bits[..., 0, :]
