"""Random small catalogues as plain tuples, and what a prefix tree must say about them, worked out from
the tuples alone."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from higr.prefix_tree import Layout, PrefixTree

LAYOUTS: tuple[Layout, ...] = ("dense", "csr", "auto")

Code = tuple[int, ...]


@dataclass(frozen=True)
class Items:
    """Semantic IDs in lexicographic order, and which of them are active."""

    codes: list[Code]
    active: list[bool]
    size: int

    @property
    def depth(self) -> int:
        return len(self.codes[0])

    def tree(self, layout: Layout = "auto") -> PrefixTree:
        return PrefixTree(np.array(self.codes, np.int32), self.size, np.array(self.active), layout)

    def positions(self) -> list[int]:
        """Active items."""
        return [position for position, active in enumerate(self.active) if active]

    def prefixes(self, depth: int) -> list[Code]:
        """Distinct prefixes of active items, sorted: the nodes of a depth in the order of their numbers."""
        return sorted({self.codes[position][:depth] for position in self.positions()})


@st.composite
def catalogues(draw: st.DrawFn) -> Items:
    """K of 1 to 6, D of 1 to 4, 1 to 30 items, shared semantic IDs and inactive items in some."""
    size, depth = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    code = st.tuples(*[st.integers(0, size - 1)] * depth)
    shared = draw(st.booleans())
    codes = sorted(draw(st.lists(code, min_size=1, max_size=30, unique=not shared)))
    some = draw(st.booleans())
    active = draw(st.lists(st.booleans(), min_size=len(codes), max_size=len(codes))) if some else None
    return Items(codes, active or [True] * len(codes), size)
