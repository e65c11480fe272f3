"""What a set of moves looks like: one name, in the words of whoever must act.

The first rule that holds names the cause; causes that explain others stand before them. A feedback outage
moves every figure of reception, so it is looked for first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from monitoring.result import Cause, Signal

DOWN, UP, ANY = -1, 1, 0


class Moves:
    """Signals by name, and which of them have moved."""

    def __init__(self, signals: Mapping[str, Signal], vanished: tuple[str, ...]) -> None:
        self.signals, self.vanished = signals, vanished

    def moved(self, name: str, way: int = ANY, *, page: bool = False) -> bool:
        """Whether the figure is at watch or page (or at page), and went that way."""
        found = self.signals.get(name)
        if found is None or found.verdict not in (("page",) if page else ("watch", "page")):
            return False
        return way == ANY or (found.now - found.expected) * way > 0

    def any(self, start: str, way: int = ANY, *, page: bool = False) -> list[str]:
        """Moved figures whose name begins so."""
        return [name for name in self.signals if name.startswith(start) and self.moved(name, way, page=page)]

    def segments(self) -> tuple[list[str], int]:
        """Segments whose engagement has moved to other categories, and how many segments there are."""
        start = "psi:engaged_in:"
        moved = [name.removeprefix(start) for name in self.any(start, page=True)]
        return moved, sum(name.startswith(start) for name in self.signals)


@dataclass(frozen=True)
class Rule:
    """A cause.

    Attributes:
        holds: the sentence that says why, or None.
        model: it is HiGR's own doing, so that the baseline is the better one while users are worse off.
    """

    name: Cause
    holds: Callable[[Moves], str | None]
    model: bool = False


def _feedback_outage(m: Moves) -> str | None:
    if m.moved("feedback_per_slate", DOWN, page=True):
        return (
            "Slates go out, but little or no feedback comes back: nothing is known of how they are received."
        )
    if m.moved("no_signal", UP, page=True):
        return "Feedback comes without the watch time that it is judged by."
    return None


def _codebook_collapse(m: Moves) -> str | None:
    if m.any("sid_perplexity_level_", DOWN, page=True) or m.any("sid_use_level_", DOWN, page=True):
        return "The live catalogue has crowded into few codes: the planner can no longer tell items apart."
    if m.moved("sid_collision", UP, page=True):
        return "Many items of the live catalogue share one semantic ID."
    return None


def _broken_embeddings(m: Moves) -> str | None:
    if m.moved("sid_new_far", UP, page=True) or m.moved("sid_new_error", UP, page=True):
        return (
            "New items are far from everything the tokenizer knows: their content or its embedding is broken."
        )
    if m.moved("sid_consistency", DOWN, page=True) or m.moved("sid_concentration", DOWN, page=True):
        return "Items under one prefix no longer belong together: new items were given codes at random."
    return None


def _catalogue_behind(m: Moves) -> str | None:
    if m.moved("served_unknown", UP):
        return "Items are served that this bundle's catalogue does not know: the job or the bundle is behind."
    return None


def _fallback(m: Moves) -> str | None:
    if m.moved("fallback", UP):
        return "HiGR does not answer for a part of the slates; see the reasons of the fallback."
    return None


def _new_item_flood(m: Moves) -> str | None:
    if m.moved("served_new", UP, page=True) or m.moved("sid_new_items", UP, page=True):
        return "Items that came after training take much of the catalogue or of the traffic."
    return None


def _category_vanished(m: Moves) -> str | None:
    if m.vanished:
        return f"Next to nothing is served any more of: {', '.join(m.vanished)}."
    return None


def _stale_features(m: Moves) -> str | None:
    if m.moved("degraded", UP) or m.moved("no_history", UP):
        return "Slates are made without fresh features."
    if m.moved("history_length", DOWN, page=True):
        return "Histories are shorter than they were: the feature store does not follow what users do."
    if m.moved("repeated", UP, page=True):
        return "Users are served the items again that they had today: the feature store does not follow."
    return None


def _bad_alignment(m: Moves) -> str | None:
    lost = m.moved("concordance", DOWN) or m.moved("margin", DOWN)
    if lost and (m.moved("effective_view", DOWN) or m.moved("strength", DOWN)):
        return (
            "HiGR's scores no longer rank what users like first, and users watch less of what "
            "they are served."
        )
    return None


def _preference_shift(m: Moves) -> str | None:
    moved, count = m.segments()
    if not moved or m.moved("psi:served_category", page=True):
        return None
    if len(moved) <= max(count // 2, 1) and count > 1:
        return f"Users of {', '.join(moved)} engage with other categories than they did, the others do not."
    return "Users engage with other categories than they did; what is served has not followed."


def _position_bias(m: Moves) -> str | None:
    if m.moved("position_profile", page=True):
        return (
            "Effective views lie at other positions of the slate than before: the page it is "
            "shown on has changed."
        )
    return None


def _reception_fell(m: Moves) -> str | None:
    for name in ("effective_view", "watch_ratio", "strength"):
        if m.moved(name, DOWN):
            return "Users watch less, and nothing that is served explains it."
    return None


RULES: tuple[Rule, ...] = (
    Rule("feedback-outage", _feedback_outage),
    Rule("codebook-collapse", _codebook_collapse, model=True),
    Rule("broken-embeddings", _broken_embeddings, model=True),
    Rule("catalogue-behind", _catalogue_behind),
    Rule("fallback", _fallback),
    Rule("new-item-flood", _new_item_flood, model=True),
    Rule("bad-alignment", _bad_alignment, model=True),
    Rule("category-vanished", _category_vanished, model=True),
    Rule("stale-features", _stale_features),
    Rule("preference-shift", _preference_shift),
    Rule("position-bias", _position_bias),
    Rule("reception-fell", _reception_fell),
    Rule("unexplained", lambda m: "Figures moved that fit no known cause." if m.any("") else None),
)


def name_cause(moves: Moves) -> tuple[Rule, str] | None:
    """The first cause that holds, and why; None where nothing moved."""
    for rule in RULES:
        if why := rule.holds(moves):
            return rule, why
    return None
