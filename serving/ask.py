"""What a slate is asked with and what comes back: the line between transformer and predictor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from higr.slate import Recommender, Slate, UserContext


@dataclass(frozen=True, slots=True)
class Ask:
    """One slate wanted; `exclude` holds every item that must not be in it."""

    context: UserContext
    slate_size: int
    exclude: frozenset[str] = frozenset()


Refusal = Literal["overloaded", "deadline", "predictor_error"]


@dataclass(frozen=True, slots=True)
class Refused:
    """No slate for one ask, where those beside it may have theirs.

    Attributes:
        reason: overloaded: others come first, said at once; deadline: it could not be met; predictor_error:
            the decoder failed at it.
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
    """Slates in the order of the asks: one batch for each slate size among them."""
    by_size: dict[int, list[int]] = {}
    for place, ask in enumerate(asks):
        by_size.setdefault(ask.slate_size, []).append(place)
    slates: dict[int, Slate] = {}
    for size, places in by_size.items():
        batch = [asks[place] for place in places]
        made = recommender.recommend([a.context for a in batch], size, [a.exclude for a in batch])
        slates.update(zip(places, made, strict=True))
    return [slates[place] for place in range(len(asks))]
