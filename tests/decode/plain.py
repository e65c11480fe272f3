"""What constraints mean, item by item in plain Python: the yardstick of the vectorised ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from higr.decode.request import Constraints
from tests.trees import Code


@dataclass(frozen=True)
class World:
    """A catalogue in catalogue order; item i is called `i<i>`."""

    codes: Sequence[Code]
    active: Sequence[bool]
    size: int
    categories: Sequence[str | None] | None = None
    sets: Mapping[str, frozenset[int]] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        return [f"i{number}" for number in range(len(self.codes))]

    def number(self, item: str) -> int | None:
        return self.ids.index(item) if item in self.ids else None

    def prefix(self, pin: str | Code) -> Code:
        return self.codes[self.ids.index(pin)] if isinstance(pin, str) else tuple(pin)


def contradiction(world: World, constraints: Constraints, size: int) -> bool:
    """Whether a request asks for what cannot be, all prefixes being of due lengths and codes."""
    pinned = constraints.pinned
    items = [pin for pin in pinned.values() if isinstance(pin, str)]
    if constraints.allow is not None and constraints.allow not in world.sets:
        return True
    if constraints.per_category is not None and (constraints.per_category < 1 or world.categories is None):
        return True
    if any(most < 1 for most in constraints.per_prefix.values()):
        return True
    if any(not 1 <= position <= size for position in pinned) or len(set(items)) < len(items):
        return True
    for item in items:
        number = world.number(item)
        if number is None or not world.active[number] or item in constraints.exclude:
            return True
        if constraints.allow is not None and number not in world.sets[constraints.allow]:
            return True
    prefixes = [world.prefix(pin) for pin in pinned.values()]
    if any(prefix[: len(closed)] == closed for prefix in prefixes for closed in constraints.blocked):
        return True
    for length, most in constraints.per_prefix.items():
        if max(Counter(p[:length] for p in prefixes if len(p) >= length).values(), default=0) > most:
            return True
    if constraints.per_category is not None and world.categories is not None:
        kinds = Counter(world.categories[world.ids.index(item)] for item in items)
        return any(kind is not None and times > constraints.per_category for kind, times in kinds.items())
    return False


def eligible(world: World, constraints: Constraints, before: Sequence[int | None]) -> set[int]:
    """Items that may stand at the position behind those of `before` (None: nothing was eligible there)."""
    position = len(before) + 1
    own = constraints.pinned.get(position)
    if isinstance(own, str):
        return {world.ids.index(own)}
    later = [pin for where, pin in constraints.pinned.items() if where > position]
    shown = [number for number in before if number is not None]
    held = [world.codes[number] for number in shown] + [world.prefix(pin) for pin in later]
    reserved = {world.ids.index(pin) for pin in later if isinstance(pin, str)}

    def may(number: int) -> bool:
        code = world.codes[number]
        if not world.active[number] or number in shown or number in reserved:
            return False
        if world.ids[number] in constraints.exclude:
            return False
        if any(code[: len(prefix)] == prefix for prefix in constraints.blocked):
            return False
        if constraints.allow is not None and number not in world.sets[constraints.allow]:
            return False
        for length, most in constraints.per_prefix.items():
            if sum(len(h) >= length and h[:length] == code[:length] for h in held) >= most:
                return False
        if constraints.per_category is not None and world.categories is not None:
            category = world.categories[number]
            alike = [n for n in [*shown, *reserved] if world.categories[n] == category]
            return category is None or len(alike) < constraints.per_category
        return True

    allowed = {number for number in range(len(world.codes)) if may(number)}
    for length in range(len(own or ()), -1, -1):
        under = {n for n in allowed if own is None or world.codes[n][:length] == own[:length]}
        if under:
            return under
    return set()
