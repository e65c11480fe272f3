"""The sets of items that requests may name, and their bits (`higr.decode.item_bits`)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from higr.decode.item_bits import KindTables
from higr.errors import InputError
from higr.prefix_tree import PrefixTree


@dataclass(frozen=True)
class ItemSets:
    """Sets of a tree's active items. Never changes: one more set makes another value.

    Attributes:
        kinds: (count,) int64 category of each slot from 1, 0 for none; None where categories are not known.
        numbers: name to the number of a set, from 1; 0 is the whole catalogue.
        members: (count,) bool of each set.
    """

    tree: PrefixTree
    kinds: np.ndarray | None
    numbers: Mapping[str, int]
    members: tuple[np.ndarray, ...]

    @classmethod
    def whole(cls, tree: PrefixTree, kinds: np.ndarray | None) -> "ItemSets":
        """The catalogue alone."""
        return cls(tree, kinds, {}, (np.ones(tree.count, bool),))

    def having(self, name: str, members: np.ndarray) -> "ItemSets":
        """With one more set, or another one of that name; its bits are made at once.

        Raises:
            InputError: more memory than `higr.decode.item_bits` allows.
        """
        number = self.numbers.get(name, len(self.members))
        parts = (*self.members[:number], members, *self.members[number + 1 :])
        sets = replace(self, numbers={**self.numbers, name: number}, members=parts)
        _ = sets.tables
        if "category_tables" in self.__dict__:
            _ = sets.category_tables
        return sets

    def number(self, name: str | None) -> int:
        """Raises:
        InputError: no set of this name.
        """
        if name is None:
            return 0
        if name not in self.numbers:
            known = ", ".join(sorted(self.numbers)) or "none is"
            raise InputError(f"allow: no set {name!r} is registered ({known}); register it first")
        return self.numbers[name]

    @cached_property
    def tables(self) -> KindTables:
        """Without categories."""
        return KindTables(self.tree, None, self.members)

    @cached_property
    def category_tables(self) -> KindTables:
        """With categories; made when they are first asked for."""
        return KindTables(self.tree, self.kinds, self.members)
