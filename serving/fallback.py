"""The ladder: HiGR, else the incumbent, else what is popular. Whoever made a slate, it is checked here.

A slate that leaves this module has the asked length (or every eligible item, if those are fewer),
no item twice, and no item that is outside the catalogue, disabled or excluded.
"""

import asyncio
import logging
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from higr.slate import Recommender, Slate, UserContext
from serving.ask import Ask, recommend
from serving.schemas import Source

logger = logging.getLogger("higr.serving")


@dataclass(frozen=True, slots=True)
class Answer:
    """A slate that holds the contract; `reason` says why HiGR did not make it."""

    slate: Slate
    source: Source
    reason: str | None


class Ladder:
    """The rungs below HiGR, and the check of every rung.

    Args:
        eligible: items that may be shown: in the catalogue and not disabled.
        baseline: the incumbent, a few milliseconds a slate.
        popular: item ids, most popular first; what it does not hold is appended in catalogue order.
    """

    def __init__(self, eligible: Sequence[str], baseline: Recommender, popular: Sequence[str]) -> None:
        self._eligible = frozenset(eligible)
        self._baseline = baseline
        order = [item for item in popular if item in self._eligible]
        self._popular = tuple(dict.fromkeys([*order, *eligible]))
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="baseline")

    def warm_up(self, slate_size: int) -> None:
        """One slate for somebody unknown: no request pays for first-time costs.

        Raises:
            Exception: whatever the incumbent raises; a ladder without its rungs is not ready.
        """
        self._executor.submit(self._baseline.recommend, [UserContext("")], slate_size).result()

    def fault(self, slate: Slate, ask: Ask) -> str | None:
        """What is wrong with a slate, or nothing."""
        try:
            items, scores = list(slate.item_ids), list(slate.scores)
            forbidden = sum(item in self._eligible for item in ask.exclude)
            due = min(ask.slate_size, len(self._eligible) - forbidden)
            if len(items) != due or len(scores) != due:
                return f"{len(items)} items and {len(scores)} scores where {due} are due"
            if len(set(items)) != due:
                return "an item is there twice"
            if not self._eligible.issuperset(items):
                return "an item is not eligible"
            if not ask.exclude.isdisjoint(items):
                return "an excluded item"
            if not all(math.isfinite(score) for score in scores):
                return "a score is not a finite number"
            if slate.semantic_ids and not _codes(slate.semantic_ids, due):
                return "not one semantic ID an item"
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            return f"not a slate ({type(error).__name__})"
        return None

    async def fall(self, asks: Sequence[Ask], reasons: Sequence[str], seconds: float) -> list[Answer]:
        """Slates of the incumbent, or popular items where it fails or needs longer than `seconds`."""
        slates = await self._ranked(asks, seconds)
        return [
            Answer(slate, "baseline", reason)
            if slate is not None and self._sound(slate, ask)
            else Answer(self.most_popular(ask), "popular", reason)
            for ask, reason, slate in zip(asks, reasons, slates, strict=True)
        ]

    def most_popular(self, ask: Ask) -> Slate:
        """Cannot fail: walks a list that was made when the process started."""
        items: list[str] = []
        for item in self._popular:
            if len(items) == ask.slate_size:
                break
            if item not in ask.exclude:
                items.append(item)
        return Slate(tuple(items), tuple(1.0 / (place + 1) for place in range(len(items))))

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _ranked(self, asks: Sequence[Ask], seconds: float) -> list[Slate | None]:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._executor, recommend, self._baseline, list(asks))
        try:
            slates: list[Slate | None] = [*await asyncio.wait_for(work, seconds)]
        except Exception as error:
            # Whatever it was, the user is due a slate; the source of the answer counts the failure.
            logger.warning("event=baseline_failed error=%s", type(error).__name__)
            return [None] * len(asks)
        return slates if len(slates) == len(asks) else [None] * len(asks)

    def _sound(self, slate: Slate, ask: Ask) -> bool:
        fault = self.fault(slate, ask)
        if fault is not None:
            logger.warning("event=baseline_invalid_slate fault=%r", fault)
        return fault is None


def _codes(semantic_ids: Sequence[Sequence[int]], due: int) -> bool:
    return len(semantic_ids) == due and all(
        isinstance(code, int) and 0 <= code < 2**31 for codes in semantic_ids for code in codes
    )
