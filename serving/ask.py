"""What a slate is asked with and what comes back: the line between transformer and predictor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from higr.decode.sampling import Sampling
from higr.slate import Recommender, Slate, UserContext
from serving.decision import ANYTHING, Decision

STRETCH = 4
"""Times the slate that another recommender is asked for where the policy caps anything."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One slate wanted.

    Attributes:
        exclude: items that this request leaves out.
        decision: what the policy says; it blocks items of its own.
        pinned: position from 1 to the item that stands there (`Decision.sold`).
        spare: items to ask a decoder for beyond the slate, for the policy may let some of them not be.
        sampling: how the decoder explores; None: it does not.
    """

    context: UserContext
    slate_size: int
    exclude: frozenset[str] = frozenset()
    decision: Decision = ANYTHING
    pinned: Mapping[int, str] = field(default_factory=dict)
    spare: int = 0
    sampling: Sampling | None = None

    @property
    def of_recommender(self) -> int:
        """Items to ask a recommender for that knows nothing of caps."""
        capped = self.decision.per_category is not None or self.decision.per_creator is not None
        return self.slate_size * (STRETCH if capped else 1)

    def without_policy(self) -> "Ask":
        """The same as if there were no policy."""
        return replace(self, decision=ANYTHING, pinned={}, spare=0)

    def keep(self, order: Iterable[str]) -> list[str]:
        """The slate of the first items of `order` that may be in it."""
        return self.decision.keep(order, self.slate_size, self.exclude, self.pinned)


Refusal = Literal["overloaded", "deadline", "predictor_error", "other_policy"]


@dataclass(frozen=True, slots=True)
class Refused:
    """No slate for one ask, where those beside it may have theirs.

    Attributes:
        reason: overloaded: others come first, said at once; deadline: it could not be met; predictor_error:
            the decoder failed at it; other_policy: it does not know a rule that it was told.
    """

    reason: Refusal


@dataclass(frozen=True, slots=True)
class Made:
    """What a predictor answered: one slate an ask, or why there is none, and the version of its bundle."""

    slates: Sequence[Slate | Refused]
    model_version: str


class SlateMaker(Protocol):
    """A predictor as the transformer sees it: in this process, or at the end of a wire."""

    async def make(self, asks: Sequence[Ask], seconds: float) -> Made:
        """Slates within `seconds`.

        Raises:
            TimeoutError: not within `seconds`.
            ConnectionError: nobody answers there.
            Exception: anything else means that the predictor failed.
        """
        ...


def recommend(recommender: Recommender, asks: Sequence[Ask]) -> list[Slate]:
    """Slates in the order of the asks, of `Ask.of_recommender` items: one batch for each size among them."""
    by_size: dict[int, list[int]] = {}
    for place, ask in enumerate(asks):
        by_size.setdefault(ask.of_recommender, []).append(place)
    slates: dict[int, Slate] = {}
    for size, places in by_size.items():
        batch = [asks[place] for place in places]
        excluded = [ask.exclude | ask.decision.blocked for ask in batch]
        made = recommender.recommend([ask.context for ask in batch], size, excluded)
        slates.update(zip(places, made, strict=True))
    return [slates[place] for place in range(len(asks))]
