"""The prefix tree that keeps decoding inside the catalogue.

Items stand in lexicographic order of their codes, so that all items under a prefix stand side by
side: a node of the tree is a range of item positions, and "is anything eligible under this node?"
is a difference of two prefix sums. This needs no K^D table and works for any K and D.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class TreeLevel:
    """The nodes of one depth, in lexicographic order of their prefixes.

    Attributes:
        code: (nodes,) int64, the last code of each node's prefix.
        children: (nodes + 1,) int64; node n's children are nodes children[n] .. children[n + 1] - 1
            of the next depth. At the last depth a node is an item and has none.
        items: (nodes + 1,) int64; node n holds the items at positions items[n] .. items[n + 1] - 1.
    """

    code: Tensor
    children: Tensor
    items: Tensor


class PrefixTree:
    """The catalogue's codes as tensors. Depth 0 is the root, depth D are the items."""

    def __init__(self, codes: np.ndarray) -> None:
        """codes: (N, D) int, distinct rows in lexicographic order."""
        count, depth = codes.shape
        starts = []  # per depth 0..D, the position of each node's first item
        new_node = np.zeros(count, dtype=bool)
        new_node[:1] = True
        starts.append(np.flatnonzero(new_node))
        for level in range(depth):
            new_node[1:] |= codes[1:, level] != codes[:-1, level]
            starts.append(np.flatnonzero(new_node))
        self.depth = depth
        self.levels: list[TreeLevel] = []
        for level, start in enumerate(starts):
            edges = np.append(start, count)
            below = starts[level + 1] if level < depth else np.zeros(0, np.int64)  # items have no children
            self.levels.append(
                TreeLevel(
                    code=torch.from_numpy(
                        codes[start, level - 1].astype(np.int64) if level else np.zeros(len(start), np.int64)
                    ),
                    children=torch.from_numpy(np.searchsorted(below, edges).astype(np.int64)),
                    items=torch.from_numpy(edges.astype(np.int64)),
                )
            )
        self.max_children = [
            int((level.children[1:] - level.children[:-1]).max()) if count else 0
            for level in self.levels[:-1]
        ]
