"""The ladder: HiGR, else the incumbent, else what is popular. Whoever made a slate, it is checked here.

A slate that leaves this module has the asked length (or every eligible item, if those are fewer), no item
twice, no item that is outside the catalogue, disabled or excluded, and keeps to the policy.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from higr.slate import Recommender, Slate, UserContext
from serving.ask import Ask, recommend
from serving.lane import Busy, Lane
from serving.schemas import Source

logger = logging.getLogger("higr.serving")


@dataclass(frozen=True, slots=True)
class Answer:
    """A slate that holds the contract; `reason` says why HiGR did not make it."""

    slate: Slate
    source: Source
    reason: str | None


def popular_first(eligible: Sequence[str], popular: Sequence[str]) -> tuple[str, ...]:
    """All eligible items: the popular ones in their order, then the others in theirs.

    Args:
        eligible: items that may be shown: in the catalogue and not disabled.
        popular: item ids, most popular first.
    """
    allowed = frozenset(eligible)
    return tuple(dict.fromkeys([*(item for item in popular if item in allowed), *eligible]))


class Ladder:
    """The rungs below HiGR, and the check of every rung.

    Args:
        baseline: the incumbent, a few milliseconds a slate.
        popular: all items that may be shown, see `popular_first`.
    """

    def __init__(self, baseline: Recommender, popular: Sequence[str]) -> None:
        self._baseline, self._popular = baseline, tuple(popular)
        self._eligible = frozenset(popular)
        self._lane = Lane("baseline")

    def warm_up(self, slate_size: int) -> None:
        """One slate for somebody unknown: no request pays for first-time costs.

        Raises:
            Exception: whatever the incumbent raises; a ladder without its rungs is not ready.
        """
        self._lane.wait(lambda: self._baseline.recommend([UserContext("")], slate_size))

    def fault(self, slate: Slate, ask: Ask, most: int) -> str | None:
        """What is wrong with a slate of `most` items or less, or nothing. Caps are not looked at."""
        try:
            items, scores = list(slate.item_ids), list(slate.scores)
            due = len(self.most_popular(ask).item_ids)
            if not due <= len(items) == len(scores) <= max(due, most):
                return f"{len(items)} items and {len(scores)} scores where {due} are due"
            if len(set(items)) != len(items):
                return "an item is there twice"
            if not self._eligible.issuperset(items):
                return "an item is not eligible"
            if not ask.exclude.isdisjoint(items):
                return "an excluded item"
            if not ask.decision.blocked.isdisjoint(items):
                return "a blocked item"
            if not all(math.isfinite(score) for score in scores):
                return "a score is not a finite number"
            if slate.semantic_ids and not _codes(slate.semantic_ids, len(items)):
                return "not one semantic ID an item"
            chances = list(slate.propensities)
            if chances and not (len(chances) == len(items) and all(0 < chance <= 1 for chance in chances)):
                return "not one propensity an item, above 0 and at most 1"
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            return f"not a slate ({type(error).__name__})"
        return None

    def kept(self, slate: Slate, ask: Ask, more: Iterable[str] = ()) -> Slate | None:
        """A slate without fault as the policy lets it be; None where too few of its items may stay.

        Args:
            more: items that may take the places of those that may not.
        """
        items = tuple(ask.keep((*slate.item_ids, *more)))
        if items == slate.item_ids:
            return slate
        if len(items) < len(self.most_popular(ask).item_ids):
            return None
        return _rearranged(slate, items)

    async def fall(self, asks: Sequence[Ask], reasons: Sequence[str], seconds: float) -> list[Answer]:
        """Slates of the incumbent, or popular items where it fails or needs longer than `seconds`; at once
        where so many wait for it that it will."""
        slates = await self._ranked(asks, seconds)
        return [
            Answer(self.most_popular(ask), "popular", reason)
            if slate is None
            else Answer(slate, "baseline", reason)
            for ask, reason, slate in zip(asks, reasons, slates, strict=True)
        ]

    def most_popular(self, ask: Ask) -> Slate:
        """Cannot fail: walks a list that was made before the request came."""
        order = self._popular if ask.decision.popular is None else ask.decision.popular
        items = ask.keep(order)
        return Slate(tuple(items), tuple(1.0 / (place + 1) for place in range(len(items))))

    def close(self) -> None:
        self._lane.close()

    async def _ranked(self, asks: Sequence[Ask], seconds: float) -> list[Slate | None]:
        try:
            slates = [
                *await self._lane.run(lambda: recommend(self._baseline, list(asks)), len(asks), seconds)
            ]
        except Busy:
            return [None] * len(asks)
        except Exception as error:
            # Whatever it was, the user is due a slate; the source of the answer counts the failure.
            logger.warning("event=baseline_failed error=%s", type(error).__name__)
            return [None] * len(asks)
        if len(slates) != len(asks):
            return [None] * len(asks)
        return [self._sound(slate, ask) for slate, ask in zip(slates, asks, strict=True)]

    def _sound(self, slate: Slate, ask: Ask) -> Slate | None:
        fault = self.fault(slate, ask, ask.of_recommender)
        if fault is not None:
            logger.warning("event=baseline_invalid_slate fault=%r", fault)
            return None
        return self.kept(slate, ask, self.most_popular(ask).item_ids)


def _rearranged(slate: Slate, items: tuple[str, ...]) -> Slate:
    """The slate with other places. An item that it did not hold, which was sold or comes from elsewhere, has
    the score of the one before it, and stands there for certain."""
    place = {item: number for number, item in enumerate(slate.item_ids)}
    scores: list[float] = []
    for item in items:
        known = place.get(item)
        before = scores[-1] if scores else max(slate.scores, default=0.0)
        scores.append(before if known is None else slate.scores[known])
    whole = all(item in place for item in items)
    return Slate(
        items,
        tuple(scores),
        tuple(slate.semantic_ids[place[item]] for item in items) if slate.semantic_ids and whole else (),
        tuple(slate.propensities[place[item]] if item in place else 1.0 for item in items)
        if slate.propensities
        else (),
    )


def _codes(semantic_ids: Sequence[Sequence[int]], due: int) -> bool:
    return len(semantic_ids) == due and all(
        len(codes) > 0 and all(isinstance(code, int) and 0 <= code < 2**31 for code in codes)
        for codes in semantic_ids
    )
