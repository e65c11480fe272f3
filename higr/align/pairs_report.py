"""Preference pairs as one HTML page: how many of each kind, what was skipped and why, examples to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from higr.align.mixture import NEGATIVES, OF_SIGNALS
from higr.align.pairs import Pairs
from higr.align.signals import Signals
from higr.align.similar import quantised_vectors
from higr.catalog import Catalog
from higr.config import PreferenceConfig
from higr.data.schemas import Feedback
from higr.files import atomic_file
from higr.html import page
from higr.training.exposures import PADDING

EXAMPLES = 4
"""Pairs shown of each kind, evenly spread over the slates."""

KINDS = {
    "ranking": "The chosen items in another order.",
    "interest": "Chosen items replaced by others that were exposed with them and passed over or disliked.",
    "diversity": "The first chosen item, then the items {form} similar to it.",
    "on_policy": "What the model itself would have shown, where the logged feedback scores it lower.",
    "freshness": "Each item replaced by the most similar one that is older.",
    "creator_exposure": "Each item replaced by the most similar one of a creator shown more in training "
    "(1: the creator shown least, 0: the one shown most).",
    "value": "Each item replaced by the most similar one that is worth less.",
}
REASONS = {
    "no_engagement": "no item of the catalogue was engaged with",
    "too_little_engagement": "fewer items were engaged with than training.min_engaged",
    "one_item": "a single item was engaged with: neither order nor variety to lose",
    "all_engaged": "everything exposed was engaged with",
    "too_few_similar": "the catalogue has too few other items to fill the slate",
    "own_too_short": "the model's own slate is shorter than the positive",
    "own_not_worse": "feedback scores the model's own slate no lower",
    "no_lower_signal": "no item of a lower signal to replace one by",
    "same_codes": "both slates have the same semantic IDs",
}
RECEIVED = {Feedback.NEGATIVE: "disliked", Feedback.EXPOSED: "passed over"}

CSS = """
td.text, th.text { text-align: left; } td.bar { text-align: left; width: 22%; }
.verdict tbody th { white-space: nowrap; }
.meter { display: inline-block; height: 8px; border-radius: 4px; background: var(--good); opacity: 0.75; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(480px, 1fr)); gap: 14px; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; align-items: start; }
.pair h3 { font-size: 13px; margin: 0 0 6px; color: var(--soft); font-weight: 600; }
.pair ol { margin: 0; padding: 0; list-style: none; counter-reset: place; font-size: 14px;
  line-height: 1.35; }
.pair li { counter-increment: place; position: relative; padding: 5px 8px 6px 30px; margin-bottom: 4px;
  border-radius: 5px; overflow-wrap: anywhere; }
.pair li::before { content: counter(place); position: absolute; left: 10px; color: var(--soft);
  font-variant-numeric: tabular-nums; }
.pair li span { display: block; font-size: 12px; color: var(--soft); }
.pair li.other { background: #fbeeec; box-shadow: inset 3px 0 0 var(--bad); }
.pair li b { font-weight: 600; color: var(--ink); }
@media (max-width: 640px) { .pairs { grid-template-columns: 1fr; } .pair { grid-template-columns: 1fr; }
  .verdict .text, .verdict .bar { display: none; } }
"""


def write_report(
    path: Path,
    pairs: Pairs,
    slates: pa.Table,
    items: pa.Table,
    catalog: Catalog,
    codebooks: Tensor,
    config: PreferenceConfig,
    signals: Signals | None = None,
) -> None:
    """Write the page, aside first.

    Args:
        slates, signals: those that the pairs were built of.
        items: `ITEMS`, for titles and categories.
        codebooks: (D, K, latent) of the tokenizer.
    """
    view = _View(pairs, slates, items, catalog, codebooks, config, signals)
    body = "".join(
        (
            f"<h1>Preference pairs of {slates.num_rows:,} slates</h1>",
            _summary(pairs, slates.num_rows, config),
            _skipped(pairs, slates.num_rows),
            *(_examples(kind, view) for kind in NEGATIVES if kind in pairs.counts),
        )
    )
    with atomic_file(path) as aside:
        aside.write_text(page("Preference pairs", body, CSS), encoding="utf-8")


def _summary(pairs: Pairs, slates: int, config: PreferenceConfig) -> str:
    weights = {kind: getattr(config, kind) for kind in NEGATIVES if kind not in OF_SIGNALS}
    weights |= {signal.kind: signal.negative for signal in config.signals}
    found = {kind: pairs.counts.get(kind, 0) for kind in NEGATIVES}
    most = max(found.values())
    rows = "".join(
        f'<tr><th>{_label(kind)}</th><td class="text">{_description(kind, config)}</td>'
        f"<td>{weights[kind]:g}</td><td>{found[kind]:,}</td>"
        f'<td class="bar"><i class="meter" style="width:{_share(found[kind], most)}"></i></td></tr>'
        for kind in NEGATIVES
        if weights.get(kind)
    )
    terms = [f"{config.logged:g} &times; logged feedback strength"] if config.logged else []
    terms += [f"{s.strength:g} &times; {_label(s.kind).lower()}" for s in config.signals if s.strength]
    return (
        f'<div class="verdict"><strong>{_share(len(pairs), slates)} of the slates give a pair: '
        f'{len(pairs):,}</strong><p class="soft">Chosen: the engaged items, strongest first. '
        f"Strength is {' + '.join(terms)}. One pair a slate, its kind drawn by weight among those the slate "
        'allows.</p><table><thead><tr><th>rejected</th><th class="text">what it is</th>'
        f'<th>weight</th><th>pairs</th><th class="bar"></th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _skipped(pairs: Pairs, slates: int) -> str:
    """By reason, the most frequent first."""
    skipped = {name: count for name, count in pairs.counts.items() if name.startswith("skipped_")}
    if not skipped:
        return "<h2>Skipped slates</h2><p>None: every slate gives a pair.</p>"
    rows = "".join(
        f"<tr><th>{_reason(name)}</th><td>{count:,}</td><td>{_share(count, slates)}</td></tr>"
        for name, count in sorted(skipped.items(), key=lambda each: -each[1])
    )
    return (
        '<h2>Skipped slates</h2><p class="soft">Slates that allow no rejected slate of any kind that has a '
        'weight.</p><div class="card"><table><thead><tr><th>why</th><th>slates</th><th>of all</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


@dataclass(frozen=True)
class _View:
    """What the examples are made of."""

    pairs: Pairs
    slates: pa.Table
    items: pa.Table
    catalog: Catalog
    codebooks: Tensor
    config: PreferenceConfig
    signals: Signals | None

    def named(self, items: Sequence[int]) -> list[tuple[str, str]]:
        """Title, or id where there is none, and category, as HTML."""
        ids = [self.catalog.item_ids[item] for item in items]
        places = pc.index_in(pa.array(ids, pa.string()), value_set=self.items["item_id"])
        found = self.items.select(["text", "category"]).take(places).to_pylist()
        return [
            (escape(row["text"] or f"Item {item}"), escape(row["category"] or "unknown category"))
            for item, row in zip(ids, found, strict=True)
        ]

    def received(self, row: int) -> dict[int, tuple[int, float]]:
        """Feedback and logged strength of the exposed items of the catalogue, the better one if twice."""
        shown = self.slates.slice(row, 1).to_pylist()[0]
        levels: dict[int, tuple[int, float]] = {}
        for item, level, strength in zip(
            shown["item_ids"], shown["feedback"], shown["strength"], strict=True
        ):
            place = self.catalog.position.get(item)
            if place is not None:
                levels[place] = max(levels.get(place, (level, strength)), (level, strength))
        return levels

    def signal(self, kind: str, row: int, item: int) -> float:
        """0 where the signal is not given."""
        if self.signals is None or kind not in self.signals.levels:
            return 0.0
        return float(self.signals.values(kind, np.array([row]), np.array([[item]]))[0, 0])

    def signal_words(self, kind: str, row: int, item: int) -> str:
        """Freshness as an age: that of old items is too small to tell them apart."""
        if kind == "freshness" and self.signals is not None:
            age = self.signals.moments[row] - self.signals.levels[kind][item]
            return f"{age:.1f} days old" if np.isfinite(age) else "of unknown age"
        return f"{_label(kind).lower()} {self.signal(kind, row, item):.2f}"

    def strength(self, row: int, item: int, logged: float) -> float:
        extra = sum(s.strength * self.signal(s.kind, row, item) for s in self.config.signals)
        return self.config.logged * logged + extra


def _examples(kind: str, view: _View) -> str:
    places = (view.pairs.kinds == NEGATIVES.index(kind)).nonzero()[:, 0].numpy()
    spread = np.unique(np.linspace(0, len(places) - 1, EXAMPLES).round().astype(int))
    cards = "".join(_pair(kind, place, view) for place in places[spread].tolist())
    return (
        f'<h2>{_label(kind)}</h2><p class="soft">{_description(kind, view.config)}</p>'
        f'<div class="pairs">{cards}</div>'
    )


def _pair(kind: str, place: int, view: _View) -> str:
    """Chosen beside rejected; what the rejected slate has otherwise is marked."""
    row = int(view.pairs.rows[place])
    chosen, rejected = (
        [item for item in slate[place].tolist() if item != PADDING]
        for slate in (view.pairs.chosen, view.pairs.rejected)
    )
    received = view.received(row)
    worth = [f"strength {view.strength(row, item, received[item][1]):.2f}" for item in chosen]
    if kind in OF_SIGNALS:
        worth = [view.signal_words(kind, row, item) for item in chosen]
    left = _list(view.named(chosen), worth, [False] * len(chosen))
    notes = _notes(kind, row, chosen, rejected, received, view)
    right = _list(view.named(rejected), notes, [a != b for a, b in zip(chosen, rejected, strict=True)])
    return (
        f'<section class="card pair"><div><h3>Chosen</h3>{left}</div>'
        f"<div><h3>Rejected</h3>{right}</div></section>"
    )


def _notes(
    kind: str,
    row: int,
    chosen: list[int],
    rejected: list[int],
    received: dict[int, tuple[int, float]],
    view: _View,
) -> list[str]:
    """What explains each item of the rejected slate."""
    vectors = quantised_vectors(view.catalog, view.codebooks, [*chosen, *rejected])
    first, before, now = vectors[0], vectors[: len(chosen)], vectors[len(chosen) :]
    notes = []
    for place, (was, item) in enumerate(zip(chosen, rejected, strict=True)):
        level = received.get(item)
        if kind == "ranking":
            note = f"from place {chosen.index(item) + 1}" if was != item else ""
        elif kind == "diversity":
            note = f"cosine {float(now[place] @ first):.2f} to the first" if place else ""
        elif kind in OF_SIGNALS and was != item:
            cosine = float(before[place] @ now[place])
            note = f"{view.signal_words(kind, row, item)}, cosine {cosine:.2f}"
        elif level is None:
            note = "was not exposed"
        elif level[0] >= Feedback.ENGAGED:
            note = f"strength {view.strength(row, item, level[1]):.2f}" if kind == "on_policy" else ""
        else:
            note = RECEIVED[Feedback(level[0])]
        notes.append(note)
    return notes


def _list(named: list[tuple[str, str]], notes: list[str], marked: list[bool]) -> str:
    lines = "".join(
        f"<li{' class=other' if mark else ''}>{title}<span>{category}"
        f"{f' &middot; <b>{note}</b>' if note else ''}</span></li>"
        for (title, category), note, mark in zip(named, notes, marked, strict=True)
    )
    return f"<ol>{lines}</ol>"


def _description(kind: str, config: PreferenceConfig) -> str:
    return KINDS[kind].format(form="most" if config.diversity_form == "similar_fill" else "least")


def _reason(name: str) -> str:
    reasons = name.removeprefix("skipped_").split("_and_")
    return "; ".join(REASONS[reason] for reason in reasons)


def _label(kind: str) -> str:
    return kind.replace("_", " ").capitalize()


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0%"
