"""Which kinds of items stand under a node of the prefix tree, as bits.

A kind is a category. A node is worth entering while one of its kinds is still open and some item of
that kind below it is eligible, so one bit a kind says all that the search needs to know of a node, in a
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
from higr.prefix_tree import Children, PrefixTree

WORD = 63
"""Kinds a word of int64 tells apart; the sign stays out of it."""

TABLE_BYTES = 1_000_000_000
"""Most memory that the bits of all sets may take. Not reported by the paper."""


class ItemBits(Protocol):
    """Bits of nodes and items in `words` words; `which` (B,) is the set that each row chooses from.

    Attributes:
        words: R.
    """

    tree: PrefixTree
    words: int

    def of(self, depth: int, nodes: Tensor, which: Tensor) -> Tensor:
        """(B, ..., R) int64 of nodes (B, ...); 0 for nowhere."""
        ...

    def children(self, level: int, children: Children, which: Tensor) -> Tensor:
        """(B, W, C, R) of the children of nodes of depth `level`, anything where one is missing."""
        ...

    def items(self, slots: Tensor, which: Tensor) -> Tensor:
        """(B, S, R) of slots (B, S); 0 for no item."""
        ...

    def union(self, bits: Tensor) -> Tensor:
        """(..., R) of all of (..., X, R)."""
        ...

    def may_die(self, depth: int, lost: int) -> bool:
        """Whether a node of this depth can lose a bit when `lost` of its children have."""
        ...


class OneKind:
    """All active items, and no categories."""

    words = 1

    def __init__(self, tree: PrefixTree) -> None:
        self.tree = tree

    def of(self, depth: int, nodes: Tensor, which: Tensor) -> Tensor:
        return (nodes < self.tree.nodes[depth].count).long().unsqueeze(-1)

    def children(self, level: int, children: Children, which: Tensor) -> Tensor:
        return (~children.missing).long().unsqueeze(-1)

    def items(self, slots: Tensor, which: Tensor) -> Tensor:
        return (slots < self.tree.count).long().unsqueeze(-1)

    def union(self, bits: Tensor) -> Tensor:
        return bits.amax(dim=-2)

    def may_die(self, depth: int, lost: int) -> bool:
        return self._narrowest[depth] <= lost

    @cached_property
    def _narrowest(self) -> list[int]:
        """Fewest children of a node, depth by depth."""
        inner = self.tree.nodes[:-1]
        return [int(nodes.first[:-1].diff().min()) if nodes.count else 0 for nodes in inner]


class KindBits:
    """Items of several categories, several sets of items, or both. Made once, over all items.

    Args:
        tree: of the active items.
        kinds: (count,) int kind of each slot; None: all of one kind.
        members: (count,) bool, the slots of each set.

    Raises:
        InputError: more memory than TABLE_BYTES.
    """

    def __init__(self, tree: PrefixTree, kinds: np.ndarray | None, members: Sequence[np.ndarray]) -> None:
        self.tree = tree
        kinds = np.zeros(tree.count, np.int64) if kinds is None else kinds
        number = int(kinds.max(initial=0)) + 1
        self.words = -(-number // WORD)
        self._tabled = tree.depth if tree.nodes[-1].items is not None else tree.depth - 1
        rows = sum(nodes.count + 1 for nodes in tree.nodes[1 : self._tabled + 1])
        size = 8 * self.words * rows * len(members)
        if size > TABLE_BYTES:
            raise InputError(
                f"{number} categories and {len(members) - 1} registered sets of items over {rows} prefixes "
                f"would take {size / 1e9:.1f} GB, {TABLE_BYTES / 1e9:.1f} are allowed; register fewer sets, "
                "or give categories that are fewer and broader"
            )
        device = tree.nodes[0].code.device
        # (kinds + 1, R): one bit each, none for no item
        bits = np.zeros((number + 1, self.words), np.int64)
        bits[np.arange(number), np.arange(number) // WORD] = 1 << (np.arange(number) % WORD)
        self.bits = torch.from_numpy(bits).to(device)
        self._kinds = torch.from_numpy(np.append(kinds, number).astype(np.int32)).to(device)
        inside = np.concatenate([np.append(member, False) for member in members])
        self._inside = (
            None if inside.sum() == len(members) * tree.count else torch.from_numpy(inside).to(device)
        )
        tables = [_tables(tree, bits[kinds] * member[:, None], self._tabled) for member in members]
        self._tables = [
            torch.from_numpy(np.concatenate(parts)).to(device) for parts in zip(*tables, strict=True)
        ]

    def kinds(self, slots: Tensor) -> Tensor:
        """Kinds of slots, int32; the number of kinds for no item."""
        return self._kinds.take(slots)

    def of(self, depth: int, nodes: Tensor, which: Tensor) -> Tensor:
        if depth > self._tabled:
            return self.items(nodes.long(), which)  # leaf and slot are one number
        return torch.embedding(
            self._tables[depth - 1], self._rows(nodes, which, self.tree.nodes[depth].count)
        )

    def children(self, level: int, children: Children, which: Tensor) -> Tensor:
        return self.of(level + 1, children.nodes, which)

    def items(self, slots: Tensor, which: Tensor) -> Tensor:
        bits = torch.embedding(self.bits, self._kinds.take(slots))
        if self._inside is None:
            return bits
        return bits * self._inside.take(self._rows(slots, which, self.tree.count)).unsqueeze(-1)

    def union(self, bits: Tensor) -> Tensor:
        while bits.shape[-2] > 1:
            if bits.shape[-2] % 2:
                bits = F.pad(bits, (0, 0, 0, 1))
            half = bits.shape[-2] // 2
            bits = bits[..., :half, :] | bits[..., half:, :]
        return bits[..., 0, :]

    def may_die(self, depth: int, lost: int) -> bool:
        return lost > 0

    def _rows(self, numbers: Tensor, which: Tensor, count: int) -> Tensor:
        """Rows of a table that holds count + 1 for each set."""
        return numbers + (which * (count + 1)).view(-1, *[1] * (numbers.dim() - 1))


def _tables(tree: PrefixTree, bits: np.ndarray, depth: int) -> list[np.ndarray]:
    """(n + 1, R) bits of the nodes of depths 1 .. depth, from those of all items (count, R)."""
    out = []
    for nodes in tree.nodes[1 : depth + 1]:
        table = np.zeros((nodes.count + 1, bits.shape[1]), np.int64)
        starts = np.arange(tree.count) if nodes.items is None else nodes.items.cpu().numpy()[:-2]
        if nodes.count:
            table[:-1] = np.bitwise_or.reduceat(bits, starts, axis=0)
        out.append(table)
    return out
