"""What a client sees of an item: title, category, duration, semantic ID."""

from dataclasses import dataclass

from higr.bundle import Bundle
from higr.slate import Slate
from serving.ask import Ask
from serving.schemas import Item


@dataclass(frozen=True, slots=True)
class Card:
    """One item of the catalogue; `semantic_id` has D codes."""

    title: str | None
    category: str | None
    duration_seconds: float | None
    semantic_id: tuple[int, ...]


class Shelf:
    """Every item of the bundle's catalogue, ready to be shown.

    Attributes:
        eligible: the items that are not disabled, in catalogue order.
        eligible_ids: the same as a set.
    """

    def __init__(self, cards: dict[str, Card], disabled: frozenset[str] = frozenset()) -> None:
        self._cards = cards
        self.eligible = tuple(item for item in cards if item not in disabled)
        self.eligible_ids = frozenset(self.eligible)

    @classmethod
    def of(cls, bundle: Bundle) -> "Shelf":
        catalog = bundle.catalog
        table = bundle.items.select(["item_id", "text", "category", "duration_seconds"])
        rows = {row["item_id"]: row for row in table.to_pylist()}
        cards = {}
        for item, codes in zip(catalog.item_ids, catalog.codes.tolist(), strict=True):
            row = rows.get(item, {})
            seconds = row.get("duration_seconds")
            # Stored as float32: 12.9 would be shown as 12.899999618530273.
            shown = None if seconds is None else round(seconds, 2)
            cards[item] = Card(row.get("text"), row.get("category"), shown, tuple(codes))
        return cls(cards, bundle.disabled)

    def card(self, item: str) -> Card | None:
        """None: not in the catalogue."""
        return self._cards.get(item)

    def items(self, slate: Slate, ask: Ask) -> list[Item]:
        """The slate's places, first shown first. Where the recommender gave no codes the catalogue does."""
        sold = {item: ask.decision.slots[position].disclosure for position, item in ask.pinned.items()}
        shown = []
        for place, (item, score) in enumerate(zip(slate.item_ids, slate.scores, strict=True)):
            card = self._cards[item]
            codes = slate.semantic_ids[place] if slate.semantic_ids else card.semantic_id
            shown.append(
                Item(
                    item_id=item,
                    position=place + 1,
                    score=float(score),
                    semantic_id=[int(code) for code in codes],
                    title=card.title,
                    category=card.category,
                    duration_seconds=card.duration_seconds,
                    disclosure=sold.get(item),
                )
            )
        return shown
