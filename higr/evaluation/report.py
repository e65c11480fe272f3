"""The evaluation as one HTML page that needs nothing else."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from higr.evaluation import report_tables as tables
from higr.evaluation.example_slates import examples
from higr.evaluation.plot import curve_panel, interval_panel
from higr.evaluation.results import Evaluation
from higr.evaluation.style import COLORS, CSS
from higr.evaluation.verdict import label, model_label, verdict
from higr.files import atomic_file
from higr.html import page

Curves = Mapping[str, Sequence[Mapping[str, Any]]]
"""Title of a training to its records, see `higr.training.curves`."""

DEFINITIONS = (
    ("Impression Hit", "share of slates in which at least one recommended item was really exposed"),
    (
        "Effective-view Hit",
        "the same for items that were effectively viewed; of slates that have such an item",
    ),
    (
        "NDCG",
        "how early the effectively viewed items stand, weighted by feedback strength; 1 is the ideal order",
    ),
    ("NDCG, binary", "the same with every effective view weighted alike"),
    ("Recall", "share of the effectively viewed items that were recommended"),
    ("Diversity", "share of item pairs of a slate that are of different categories"),
    (
        "Entropy",
        "of the first code, or the first two, of a slate's semantic IDs, over its maximum: 0 all alike, "
        "1 all distinct; every model's items are mapped by the same catalogue",
    ),
    ("Repetition", "share of a slate's items that the same user's slate before had, too"),
    (
        "Popularity lift",
        "mean training views of the recommended items over those of the effectively viewed ones, less 1",
    ),
    ("Coverage", "share of the catalogue that was recommended to anyone"),
    ("Gini", "how unevenly recommendations fall on the catalogue: 0 all items alike, near 1 a few"),
    ("Head, tail, cold", "most viewed items of training, other items of training, items not exposed in it"),
)


def write_report(evaluation: Evaluation, path: Path, curves: Curves | None = None) -> None:
    """Write `html` to a file, aside first."""
    with atomic_file(path) as aside:
        aside.write_text(html(evaluation, curves), encoding="utf-8")


def html(evaluation: Evaluation, curves: Curves | None = None) -> str:
    """The whole page: verdict, tables, intervals, slices, learning curves, example slates."""
    colors = _colors(evaluation.models, evaluation.subject)
    body = "".join(
        (
            _verdicts(evaluation),
            "<h2>Figures</h2>",
            _figures_note(evaluation),
            tables.accuracy(evaluation, colors),
            _against(evaluation, colors),
            "<h2>Beyond accuracy</h2>",
            '<p class="soft">What the slates are like, whatever the user did. Neither end of these figures '
            "is good by itself.</p>",
            tables.beyond_accuracy(evaluation, colors),
            "<h2>How sure they are</h2>",
            f'<p class="soft">Means with {evaluation.confidence:.0%} intervals; '
            "each panel has a scale of its own.</p>",
            _panels(evaluation, colors),
            _slices(evaluation, colors),
            _curves(curves or {}),
            examples(evaluation),
            "<h2>What was measured</h2>",
            "<dl>" + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in DEFINITIONS) + "</dl>",
        )
    )
    return page("Slate evaluation", body, CSS)


def _colors(models: Sequence[str], subject: str) -> dict[str, str]:
    ordered = [subject, *(model for model in models if model != subject)]
    return {model: COLORS[min(i, len(COLORS) - 1)] for i, model in enumerate(ordered)}


def _verdicts(evaluation: Evaluation) -> str:
    title = f"<h1>Slate evaluation: {evaluation.slates:,} test slates of {evaluation.users:,} users</h1>"
    rivals = [model for model in evaluation.models if model in evaluation.against]
    if not rivals:
        return title
    first = evaluation.reference if evaluation.reference in rivals else rivals[0]
    main = verdict(evaluation, first)
    evidence = "".join(f"<li>{escape(line)}</li>" for line in main.evidence)
    others = [verdict(evaluation, rival).headline for rival in rivals if rival != first]
    also = f'<p class="also">{escape(" ".join(others))}</p>' if others else ""
    return (
        f'{title}<section class="verdict {main.outcome}"><strong>{escape(main.headline)}</strong>'
        f"<ul>{evidence}</ul>{also}</section>"
    )


def _figures_note(evaluation: Evaluation) -> str:
    seen = "Items the user had met before are left out for every model. " if evaluation.exclude_seen else ""
    return (
        f'<p class="soft">Same slates, contexts and exclusions for all. {seen}'
        f"Below each mean its {evaluation.confidence:.0%} interval ({evaluation.resamples:,} resamples of "
        f"users) and the change against {escape(model_label(evaluation.reference))}, coloured where the "
        "interval of the paired difference leaves out zero.</p>"
    )


def _against(evaluation: Evaluation, colors: Mapping[str, str]) -> str:
    if not evaluation.against:
        return ""
    return (
        "<h2>Paired differences</h2>"
        f'<p class="soft">{escape(model_label(evaluation.subject))} minus each other model on the same '
        f"slates, and as a share of the other; {evaluation.confidence:.0%} interval; p&#8209;value of "
        f"{evaluation.permutations:,} sign flips over users after Holm's correction over the rows, coloured "
        f"where it is at most {1 - evaluation.confidence:.2g}. One training of each model: what another "
        "would give is not in these figures.</p>" + tables.against(evaluation, colors)
    )


def _panels(evaluation: Evaluation, colors: Mapping[str, str]) -> str:
    panels = (
        interval_panel(
            label(metric),
            {model_label(model): evaluation.values[model][metric] for model in evaluation.models},
            [colors[model] for model in evaluation.models],
        )
        for metric in evaluation.metrics
    )
    return '<div class="panels">' + "".join(f"<div>{panel}</div>" for panel in panels) + "</div>"


def _slices(evaluation: Evaluation, colors: Mapping[str, str]) -> str:
    k = evaluation.k
    parts = [
        "<h2>Slices</h2>",
        '<p class="soft">The same slates in parts. Users by their events in training and by the engaged '
        "items of their history; items by their exposure in training.</p>",
        tables.slices(evaluation, f"ndcg@{k}", colors, "users"),
        tables.slices(evaluation, f"effective_view_hit@{k}", colors, "users"),
    ]
    if any(part.name.endswith("_items") for part in evaluation.slices):
        parts.append(tables.slices(evaluation, f"recall@{k}", colors, "items"))
    return "".join(parts)


def _curves(curves: Curves) -> str:
    panels = [panel for title, records in curves.items() if (panel := curve_panel(title, records))]
    if not panels:
        return ""
    return (
        '<h2>Learning curves</h2><p class="soft">Loss over steps; the dot is the best validation, whose '
        'weights were kept.</p><div class="panels curves">'
        + "".join(f"<div>{panel}</div>" for panel in panels)
        + "</div>"
    )
