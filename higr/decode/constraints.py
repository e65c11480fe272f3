"""From the constraints of requests to what a beam search asks."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.decode.constrained import Constrained
from higr.decode.constraint_row import ConstraintRow, RowReader
from higr.decode.item_bits import KindBits, OneKind
from higr.decode.item_sets import ItemSets
from higr.decode.request import Constraints
from higr.decode.rules import CategoryCaps, Pins, Rules
from higr.eligibility import Eligibility, Exclusions
from higr.errors import InputError
from higr.prefix_tree import PrefixTree

NO_CAP = torch.iinfo(torch.int32).max


class ConstraintReader:
    """Reads the constraints of requests for one catalogue version.

    Args:
        tree: of the catalogue's active items.
        categories: in catalogue order; None for an item that no cap by category counts. None: not known.

    Raises:
        InputError: not one category an item.
    """

    def __init__(
        self, catalog: Catalog, tree: PrefixTree, categories: Sequence[str | None] | None = None
    ) -> None:
        if categories is not None and len(categories) != len(catalog):
            raise InputError(
                f"{len(categories)} categories for {len(catalog)} items; give one an item, or None"
            )
        self._catalog, self._tree, self._categories = catalog, tree, categories
        self._rows = RowReader(catalog, tree)
        self._one_kind = OneKind(tree)
        self._sets = ItemSets.whole(tree, self._kinds)

    def register(self, name: str, items: Collection[str]) -> None:
        """Prepare a set of items that requests can name in `allow`: work over the whole catalogue, once.

        A set of the same name is replaced. Ids that the catalogue does not know are ignored.

        Raises:
            InputError: the catalogue knows none of the items, or sets would take too much memory.
        """
        known = self._rows.positions(items)
        if not known:
            raise InputError(
                f"set {name!r}: the catalogue has none of its {len(items)} items; "
                "register items of the catalogue that is served"
            )
        members = np.zeros(len(self._catalog), bool)
        members[known] = True
        self._sets = self._sets.having(name, members[self._positions])

    def eligibility(self, constraints: Sequence[Constraints], sizes: Sequence[int]) -> Eligibility:
        """What the slates of one batch may hold; serves the batch once.

        Args:
            sizes: length of each slate.

        Raises:
            InputError: what cannot be followed; names the field and the value.
        """
        longest = max(sizes, default=0)
        if not any(map(_more_than_exclusions, constraints)):
            return Exclusions(
                self._tree, [self._rows.positions(c.exclude) for c in constraints], strikes=longest
            )
        sets = self._sets
        rows = [self._rows.read(c, size, sets) for c, size in zip(constraints, sizes, strict=True)]
        device = self._tree.nodes[0].code.device
        which = torch.tensor([row.which for row in rows], device=device)
        rules = self._rules(rows, longest)
        if any(row.category_cap is not None for row in rows):
            kinds = KindBits(sets.category_tables, which)
            most = [NO_CAP if row.category_cap is None else row.category_cap for row in rows]
            caps = CategoryCaps(kinds, torch.tensor(most, device=device))
            return Constrained(kinds, replace(rules, category_caps=caps))
        bits = KindBits(sets.tables, which) if any(row.which for row in rows) else self._one_kind
        return Constrained(bits, rules)

    def _rules(self, rows: list[ConstraintRow], positions: int) -> Rules:
        """All but the caps by category."""
        tree, device = self._tree, self._tree.nodes[0].code.device
        depths = {depth for row in rows for depth, _ in row.blocked}
        lengths = {length for row in rows for length in row.prefix_caps}
        return Rules(
            positions=positions,
            forbidden=_padded([row.forbidden for row in rows], tree.count).to(device),
            blocked={
                depth: _padded(
                    [{n for d, n in row.blocked if d == depth} for row in rows], tree.nodes[depth].count
                )
                .int()
                .to(device)
                for depth in sorted(depths)
            },
            pins=self._pins(rows, positions) if any(row.pins for row in rows) else None,
            prefix_caps={
                length: torch.tensor([row.prefix_caps.get(length, NO_CAP) for row in rows], device=device)
                for length in sorted(lengths)
            },
        )

    def _pins(self, rows: list[ConstraintRow], positions: int) -> Pins:
        tree, device = self._tree, self._tree.nodes[0].code.device
        slots = torch.full((len(rows), positions), tree.count)
        nodes = [torch.full_like(slots, level.count, dtype=torch.int32) for level in tree.nodes[1:]]
        for number, row in enumerate(rows):
            for pin in row.pins:
                slots[number, pin.position - 1] = pin.slot
                for level, node in enumerate(pin.path):
                    nodes[level][number, pin.position - 1] = node
        return Pins(
            slots=slots.to(device),
            nodes=[level.to(device) for level in nodes],
            positions=frozenset(pin.position - 1 for row in rows for pin in row.pins),
        )

    @cached_property
    def _positions(self) -> np.ndarray:
        """Catalogue position of each slot."""
        positions = self._tree.positions
        return np.arange(self._tree.count) if positions is None else positions[:-1].cpu().numpy()

    @cached_property
    def _kinds(self) -> np.ndarray | None:
        """(count,) int64 category of each slot from 1, 0 for none."""
        if self._categories is None:
            return None
        numbers: dict[str | None, int] = {None: 0}
        kinds = [numbers.setdefault(category, len(numbers)) for category in self._categories]
        return np.array(kinds, np.int64)[self._positions]


def _more_than_exclusions(constraints: Constraints) -> bool:
    return bool(
        constraints.allow is not None
        or constraints.blocked
        or constraints.pinned
        or constraints.per_prefix
        or constraints.per_category is not None
    )


def _padded(rows: Sequence[Collection[int]], filler: int) -> Tensor:
    """(B, E) int64, each row rising, fillers behind."""
    longest = max(map(len, rows), default=0)
    return torch.tensor(
        [[*sorted(row), *[filler] * (longest - len(row))] for row in rows], dtype=torch.int64
    ).view(len(rows), longest)
