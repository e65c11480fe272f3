"""The policy in force, read against the items of a bundle.

What the rules that hold for a request come to is one `Decision`, shared by all requests for which the same
rules hold. The decoder is told as much as it understands: what is blocked, how many items of one category,
what stands at a position. Every slate of every rung is made to keep to it all the same.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from serving.decision import Decision, Slot
from serving.policy_file import AtMost, Block, Fresh, PolicyFile, Rule, Sponsored

MAX_DECISIONS = 64
"""Kept, one a combination of rules; every day begins with none."""

EXAMPLES = 10
"""That an explanation gives of what a rule blocks."""


class Policy:
    """A policy file and the items it is about.

    Args:
        items: `ITEMS` (item_id, category, creator_id, created_at).
        popular: every item that may be shown at all, most popular first.
    """

    def __init__(self, file: PolicyFile, items: pa.Table, popular: Sequence[str]) -> None:
        self.file = file
        self._popular = tuple(popular)
        self._ids: list[str] = items["item_id"].to_pylist()
        self._category = dict(zip(self._ids, items["category"].to_pylist(), strict=True))
        creators = zip(self._ids, items["creator_id"].to_pylist(), strict=True)
        self._creator = {item: creator for item, creator in creators if creator is not None}
        seconds = items["created_at"].cast(pa.timestamp("s"), safe=False).cast(pa.int64())
        self._created = seconds.to_numpy(zero_copy_only=False).astype(float)  # NaN where there is none
        self._blocks = {rule.name: self._named(rule) for rule in file.rules if isinstance(rule, Block)}
        self._today = date.min
        self._decided: dict[tuple[str, ...], Decision] = {}
        self._left: dict[tuple[str, ...], tuple[frozenset[str], tuple[str, ...]]] = {}

    def decide(self, facts: Mapping[str, str], now: datetime) -> Decision:
        """What a request may be shown. facts: its user's profile and its situation."""
        return self._of(tuple(rule.name for rule in self.holding(facts, now)), now)

    def holding(self, facts: Mapping[str, str], now: datetime) -> list[Rule]:
        """The rules that hold for a request, in the file's order."""
        expired = self.file.expired(now)
        return [
            rule
            for rule in self.file.rules
            if rule.holds(facts) and not (expired and isinstance(rule, Sponsored))
        ]

    def of_rules(self, names: Iterable[str], now: datetime) -> Decision | None:
        """What these rules come to where they hold; None where this policy does not have one of them."""
        names = tuple(names)
        return self._of(names, now) if {rule.name for rule in self.file.rules}.issuperset(names) else None

    def explain(self, decision: Decision) -> list[tuple[str, int, list[str]]]:
        """Each rule that blocks something: its name, how many items, and the most popular of them."""
        blocked = {rule.name: self._blocked(rule) for rule in self.file.rules if rule.name in decision.rules}
        return [
            (name, len(items), [item for item in self._popular if item in items][:EXAMPLES])
            for name, items in blocked.items()
        ]

    def broken(self, item_ids: Sequence[str], rules: Iterable[Rule]) -> dict[str, list[str]]:
        """Items of a slate that cannot stand where they do, and the names of the rules that say so.

        Args:
            item_ids: first shown first: a cap is broken by the last ones.
            rules: that hold.
        """
        found: dict[str, list[str]] = {}
        for rule in rules:
            for item in self._over(rule, item_ids) if isinstance(rule, AtMost) else self._blocked(rule):
                if item in item_ids:
                    found.setdefault(item, []).append(rule.name)
        return found

    def _over(self, rule: AtMost, item_ids: Sequence[str]) -> Iterator[str]:
        of = self._category if rule.per == "category" else self._creator
        counts = Counter[str]()
        for item in item_ids:
            if item in of:
                counts[of[item]] += 1
                if counts[of[item]] > rule.items:
                    yield item

    def _of(self, names: tuple[str, ...], now: datetime) -> Decision:
        today = now.astimezone(UTC).date()
        if today != self._today or len(self._decided) >= MAX_DECISIONS:
            self._today, self._decided, self._left = today, {}, {}
        if names not in self._decided:
            self._decided[names] = self._decision([rule for rule in self.file.rules if rule.name in names])
        return self._decided[names]

    def _decision(self, rules: Sequence[Rule]) -> Decision:
        blocks = {rule.name: items for rule in rules if (items := self._blocked(rule))}
        blocking = tuple(blocks)
        if blocking not in self._left:
            every = frozenset[str]().union(*blocks.values())
            self._left[blocking] = every, tuple(item for item in self._popular if item not in every)
        # One and the same for all decisions that block as much: decoders know what is left by these rules.
        blocked, popular = self._left[blocking]
        slots: dict[int, Slot] = {}
        for rule in rules:
            if isinstance(rule, Sponsored):
                slots.setdefault(rule.position, Slot(rule.items, rule.disclosure))
        return Decision(
            rules=blocking,
            blocked=blocked,
            popular=popular,
            per_category=_least(rules, "category"),
            per_creator=_least(rules, "creator"),
            slots=slots,
            category=self._category,
            creator=self._creator,
        )

    def _blocked(self, rule: Rule) -> frozenset[str]:
        match rule:
            case Block():
                return self._blocks[rule.name]
            case Fresh():
                return self._stale(rule.max_age_days)
        return frozenset()

    def _named(self, rule: Block) -> frozenset[str]:
        categories, creators = set(rule.categories), set(rule.creators)
        return frozenset(
            [
                *set(rule.items).intersection(self._ids),
                *(item for item, category in self._category.items() if category in categories),
                *(item for item, creator in self._creator.items() if creator in creators),
            ]
        )

    def _stale(self, days: float) -> frozenset[str]:
        """As of the beginning of the day, so that it is the same set for all of its requests."""
        midnight = datetime.combine(self._today, datetime.min.time(), UTC)
        oldest = (midnight - timedelta(days=days)).timestamp()
        return frozenset(self._ids[row] for row in np.flatnonzero(~(self._created >= oldest)))


def _least(rules: Sequence[Rule], per: str) -> int | None:
    return min((r.items for r in rules if isinstance(r, AtMost) and r.per == per), default=None)
