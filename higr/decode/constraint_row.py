"""The constraints of one request, checked, in numbers of the prefix tree."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from higr.catalog import Catalog
from higr.decode.item_sets import ItemSets
from higr.decode.request import Constraints, Prefix
from higr.errors import InputError
from higr.prefix_tree import PrefixTree


@dataclass(frozen=True)
class Pin:
    """What is pinned at a position.

    Attributes:
        position: from 1.
        slot: of the item; the tree's `count` where it is a prefix.
        prefix: all codes of the item, or the prefix.
        path: nodes of depths 1, 2, .. of the longest beginning of the prefix that an active item has.
    """

    position: int
    slot: int
    prefix: Prefix
    path: list[int]


@dataclass(frozen=True)
class ConstraintRow:
    """Attributes:
    which: number of the set in `allow`.
    forbidden: slots that are excluded or pinned.
    blocked: (depth, node) of blocked prefixes that hold an item.
    pins: by rising position.
    prefix_caps: depth to most items.
    category_cap: None: any number.
    """

    which: int
    forbidden: frozenset[int]
    blocked: frozenset[tuple[int, int]]
    pins: tuple[Pin, ...]
    prefix_caps: dict[int, int]
    category_cap: int | None


class RowReader:
    """Checks requests against one catalogue version.

    Args:
        tree: of the catalogue's active items.
    """

    def __init__(self, catalog: Catalog, tree: PrefixTree) -> None:
        self._catalog, self._tree = catalog, tree
        self._codes = [nodes.code.cpu().numpy() for nodes in tree.nodes]
        self._first = [nodes.first.cpu().numpy() for nodes in tree.nodes]

    def read(self, constraints: Constraints, size: int, sets: ItemSets) -> ConstraintRow:
        """Args:
            size: of the slate.

        Raises:
            InputError: what cannot be followed; names the field and the value.
        """
        excluded = set(constraints.exclude)
        which = sets.number(constraints.allow)
        blocked = [self._prefix("blocked", prefix) for prefix in constraints.blocked]
        pins: list[Pin] = []
        for position, pin in sorted(constraints.pinned.items()):
            if not 1 <= position <= size:
                raise InputError(f"pinned: {pin!r} at position {position}; the slate has positions 1..{size}")
            pins.append(self._pin(position, pin))
            self._check_pin(pins[-1], pin, excluded, blocked)
            if which and pins[-1].slot < self._tree.count and not sets.members[which][pins[-1].slot]:
                raise InputError(
                    f"pinned: {pin!r} at position {position} is not in allow {constraints.allow!r}"
                )
        items = [pin for pin in pins if pin.slot < self._tree.count]
        slot, times = next(iter(Counter(pin.slot for pin in items).most_common(1)), (0, 0))
        if times > 1:
            where = [pin.position for pin in items if pin.slot == slot]
            raise InputError(
                f"pinned: {constraints.pinned[where[0]]!r} at positions {where}; pin an item once"
            )
        caps = self._prefix_caps(constraints)
        for length, most in caps.items():
            alike = Counter(f"prefix {pin.prefix[:length]}" for pin in pins if len(pin.prefix) >= length)
            _check_cap(f"per_prefix {{{length}: {most}}}", alike, most)
        if constraints.per_category is not None:
            if constraints.per_category < 1:
                raise InputError(f"per_category: {constraints.per_category}; at least 1 is due")
            if sets.kinds is None:
                raise InputError(
                    f"per_category: {constraints.per_category}, but no categories of items are known; "
                    "decode from a bundle, or give `categories`"
                )
            named = {
                sets.kinds[pin.slot]: f"the category of {constraints.pinned[pin.position]!r}" for pin in items
            }
            alike = Counter(named[kind] for pin in items if (kind := sets.kinds[pin.slot]))
            _check_cap(f"per_category {constraints.per_category}", alike, constraints.per_category)
        return ConstraintRow(
            which=which,
            forbidden=frozenset(pin.slot for pin in items) | self._active(self.positions(excluded)),
            blocked=frozenset(
                (len(prefix), path[-1])
                for prefix in blocked
                if len(path := self._path(prefix)) == len(prefix)
            ),
            pins=tuple(pins),
            prefix_caps=caps,
            category_cap=constraints.per_category,
        )

    def positions(self, items: Collection[str]) -> list[int]:
        """Catalogue positions; unknown ids are ignored."""
        known = self._catalog.position
        return [known[item] for item in items if item in known]

    def _active(self, positions: Sequence[int]) -> frozenset[int]:
        slots = self._tree.slots(torch.tensor(sorted(positions), dtype=torch.int64)).tolist()
        return frozenset(slot for slot in slots if slot < self._tree.count)

    def _prefix(self, field: str, prefix: Prefix) -> Prefix:
        depth, size = self._catalog.depth, self._catalog.codebook_size
        if not 1 <= len(prefix) <= depth:
            raise InputError(f"{field}: prefix {tuple(prefix)} has {len(prefix)} codes; 1 to {depth} are due")
        if not all(isinstance(code, int) and 0 <= code < size for code in prefix):
            raise InputError(f"{field}: prefix {tuple(prefix)} holds a code outside 0..{size - 1}")
        return tuple(prefix)

    def _path(self, prefix: Prefix) -> list[int]:
        nodes, node = [], 0
        for depth, code in enumerate(prefix):
            start, end = self._first[depth][node : node + 2]
            codes = self._codes[depth + 1][start:end]
            at = int(np.searchsorted(codes, code))
            if at == len(codes) or codes[at] != code:
                break
            node = int(start) + at
            nodes.append(node)
        return nodes

    def _pin(self, position: int, pin: str | Prefix) -> Pin:
        if not isinstance(pin, str):
            prefix = self._prefix("pinned", pin)
            return Pin(position, self._tree.count, prefix, self._path(prefix))
        if pin not in self._catalog.position:
            raise InputError(f"pinned: the catalogue has no item {pin!r} (position {position})")
        place = self._catalog.position[pin]
        slot = next(iter(self._active([place])), None)
        if slot is None:
            raise InputError(f"pinned: {pin!r} at position {position} is disabled; enable it or drop the pin")
        prefix = tuple(self._catalog.codes[place].tolist())
        return Pin(position, slot, prefix, self._path(prefix))

    def _check_pin(
        self, pin: Pin, given: str | Prefix, excluded: set[str], blocked: Sequence[Prefix]
    ) -> None:
        if isinstance(given, str) and given in excluded:
            raise InputError(
                f"pinned: {given!r} at position {pin.position} is in exclude; drop one of the two"
            )
        for closed in blocked:
            if pin.prefix[: len(closed)] == closed:
                raise InputError(
                    f"pinned: {given!r} at position {pin.position} is blocked by {closed}; drop one of them"
                )

    def _prefix_caps(self, constraints: Constraints) -> dict[int, int]:
        depth = self._catalog.depth
        for length, most in constraints.per_prefix.items():
            if not 1 <= length <= depth:
                raise InputError(f"per_prefix: a prefix of {length} codes; 1 to {depth} are due")
            if most < 1:
                raise InputError(f"per_prefix: {most} items of a prefix of {length} codes; at least 1 is due")
        return dict(sorted(constraints.per_prefix.items()))


def _check_cap(field: str, pinned: "Counter[str]", most: int) -> None:
    for what, times in pinned.items():
        if times > most:
            raise InputError(f"pinned: {times} items of {what}, but {field} allows {most}; pin fewer")
