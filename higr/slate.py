"""The two values every recommender exchanges: a user's context in, an ordered slate out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class UserContext:
    """What is known of a user at one moment; nothing later than that moment is in it.

    Attributes:
        user_id: any string; unknown users have an empty history.
        item_ids: recent events' items, oldest first.
        feedback: one `Feedback` level an item (see `higr.data.schemas`).
        profile: categorical fields; a field the model does not know is ignored.
        situation: categorical facts of the request, see `higr.data.situation`; ignored likewise.
    """

    user_id: str
    item_ids: tuple[str, ...] = ()
    feedback: tuple[int, ...] = ()
    profile: Mapping[str, str] = field(default_factory=dict)
    situation: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.item_ids) != len(self.feedback):
            raise ValueError(
                f"context of user {self.user_id!r}: {len(self.item_ids)} items but "
                f"{len(self.feedback)} feedback levels; give one level an item"
            )


@dataclass(frozen=True, slots=True)
class Slate:
    """An ordered list of distinct items.

    Attributes:
        item_ids: first shown first.
        scores: one a position, higher is better; comparable within one recommender only.
        semantic_ids: D codes an item, or empty where the recommender has none.
        propensities: probability with which each item was chosen, given those before it; empty where no
            request of the batch explored. 1 where a request did not.
    """

    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    semantic_ids: tuple[tuple[int, ...], ...] = ()
    propensities: tuple[float, ...] = ()


class Recommender(Protocol):
    """Anything that turns contexts into slates: HiGR, the incumbent, popularity."""

    def recommend(
        self,
        contexts: Sequence[UserContext],
        slate_size: int,
        exclude: Sequence[Collection[str]] | None = None,
    ) -> list[Slate]:
        """One slate a context, without its excluded items and without duplicates.

        A slate is shorter than `slate_size` only when fewer eligible items exist.
        """
        ...
