"""What the policy comes to for one request, and slates that keep to it."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice


@dataclass(frozen=True, slots=True)
class Slot:
    """A position that is sold.

    Attributes:
        items: the first that may be shown stands there.
        disclosure: what the user is told.
    """

    items: tuple[str, ...]
    disclosure: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Attributes:
    rules: names of the rules that block something, in the file's order.
    blocked: what they block.
    popular: all that may be shown, most popular first; None: all that is eligible.
    per_category, per_creator: most items of one in a slate; None: any number.
    slots: positions that are sold, from 1.
    category, creator: of each item that has one; looked at where something is capped.
    """

    rules: tuple[str, ...] = ()
    blocked: frozenset[str] = frozenset()
    popular: tuple[str, ...] | None = None
    per_category: int | None = None
    per_creator: int | None = None
    slots: Mapping[int, Slot] = field(default_factory=dict)
    category: Mapping[str, str] = field(default_factory=dict)
    creator: Mapping[str, str] = field(default_factory=dict)

    @property
    def restricts(self) -> bool:
        """Whether any slate could be another without it."""
        caps = self.per_category is not None or self.per_creator is not None
        return bool(caps or self.blocked or self.slots)

    def sold(self, size: int, excluded: Collection[str], eligible: Collection[str]) -> dict[int, str]:
        """Position to the sponsored item that stands there; without slots none of whose items may be shown.

        Args:
            size: of the slate.
            excluded: what this request leaves out.
            eligible: what may be shown at all.
        """
        counts = _Counts(self)
        pinned: dict[int, str] = {}
        for position, slot in sorted(self.slots.items()):
            if position > size:
                continue
            for item in slot.items:
                free = item in eligible and item not in excluded and item not in self.blocked
                if free and item not in pinned.values() and counts.has_room(item):
                    pinned[position] = item
                    counts.add(item)
                    break
        return pinned

    def keep(
        self, order: Iterable[str], size: int, excluded: Collection[str], pinned: Mapping[int, str]
    ) -> list[str]:
        """Pinned items at their positions, the others the first of `order` that may stand there.

        Args:
            order: items, best first.
            size: items wanted; fewer where `order` has no more that may be shown. Then what is pinned behind
                moves up.
            excluded: what this request leaves out.
            pinned: of `sold`.
        """
        counts = _Counts(self)
        taken = set(pinned.values())
        for item in taken:
            counts.add(item)

        def others() -> Iterable[str]:
            for item in order:
                if item in taken or item in excluded or item in self.blocked or not counts.has_room(item):
                    continue
                taken.add(item)
                counts.add(item)
                yield item

        rest = list(islice(others(), size - len(pinned)))
        for position, item in sorted(pinned.items()):
            rest.insert(position - 1, item)
        return rest


ANYTHING = Decision()
"""Without a policy."""


class _Counts:
    """Items of each category and creator in a slate, against the most that a decision allows."""

    def __init__(self, decision: Decision) -> None:
        caps = ((decision.per_category, decision.category), (decision.per_creator, decision.creator))
        self._caps = [(most, of, Counter[str]()) for most, of in caps if most is not None]

    def has_room(self, item: str) -> bool:
        return all(item not in of or found[of[item]] < most for most, of, found in self._caps)

    def add(self, item: str) -> None:
        for _, of, found in self._caps:
            if item in of:
                found[of[item]] += 1
