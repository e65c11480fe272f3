"""The evaluation as one HTML page that needs nothing else."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from higr.errors import InputError
from higr.evaluation.plot import interval_panel
from higr.evaluation.results import Evaluation, Example, ExampleItem
from higr.evaluation.style import COLORS, CSS
from higr.evaluation.verdict import label, model_label, verdict
from higr.files import atomic_file
from higr.html import page

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
    ("Coverage", "share of the catalogue that was recommended to anyone"),
)


def write_report(evaluation: Evaluation, path: Path, subject: str | None = None) -> None:
    """Write `html` to a file, aside first."""
    with atomic_file(path) as aside:
        aside.write_text(html(evaluation, subject), encoding="utf-8")


def html(evaluation: Evaluation, subject: str | None = None) -> str:
    """The whole page: verdict, table, intervals, example slates.

    Args:
        subject: the model that is judged against the others; default: the last of the models.

    Raises:
        InputError: `subject` is not one of the models.
    """
    subject = subject if subject is not None else evaluation.models[-1]
    if subject not in evaluation.models:
        raise InputError(f"report: model {subject!r} was not evaluated; there are {list(evaluation.models)}")
    colors = _colors(evaluation.models, subject)
    body = "".join(
        (
            _verdicts(evaluation, subject),
            "<h2>Figures</h2>",
            _figures_note(evaluation),
            _figures(evaluation, colors),
            "<h2>How sure they are</h2>",
            f'<p class="soft">Means with {evaluation.confidence:.0%} intervals; '
            "each panel has a scale of its own.</p>",
            _panels(evaluation, colors),
            "<h2>What was measured</h2>",
            "<dl>" + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in DEFINITIONS) + "</dl>",
            _examples(evaluation),
        )
    )
    return page("Slate evaluation", body, CSS)


def _colors(models: Sequence[str], subject: str) -> dict[str, str]:
    ordered = [subject, *(model for model in models if model != subject)]
    return {model: COLORS[min(i, len(COLORS) - 1)] for i, model in enumerate(ordered)}


def _verdicts(evaluation: Evaluation, subject: str) -> str:
    title = f"<h1>Slate evaluation: {evaluation.slates:,} test slates of {evaluation.users:,} users</h1>"
    rivals = [model for model in evaluation.models if model != subject]
    if not rivals:
        return title
    first = evaluation.reference if evaluation.reference != subject else rivals[0]
    main = verdict(evaluation, subject, first)
    evidence = "".join(f"<li>{escape(line)}</li>" for line in main.evidence)
    others = [verdict(evaluation, subject, rival).headline for rival in rivals if rival != first]
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


def _figures(evaluation: Evaluation, colors: dict[str, str]) -> str:
    head = "".join(f"<th>{escape(label(metric))}</th>" for metric in evaluation.metrics)
    rows = "".join(_row(evaluation, model, colors[model]) for model in evaluation.models)
    return (
        f'<div class="scroll"><table><thead><tr><th>Model</th>{head}<th>Coverage</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(evaluation: Evaluation, model: str, color: str) -> str:
    cells = []
    for metric in evaluation.metrics:
        value = evaluation.values[model][metric]
        best = max(row[metric].mean for row in evaluation.values.values())
        mean = f"<b>{value.mean:.4f}</b>" if value.mean == best else f"{value.mean:.4f}"
        change = _change(evaluation, model, metric)
        cells.append(f"<td>{mean}<span>{value.low:.4f} – {value.high:.4f}</span>{change}</td>")
    name = f'<span class="dot" style="background:{color}"></span>{escape(model_label(model))}'
    return f"<tr><th>{name}</th>{''.join(cells)}<td>{evaluation.coverage[model]:.1%}</td></tr>"


def _change(evaluation: Evaluation, model: str, metric: str) -> str:
    if model == evaluation.reference:
        return "<span>reference</span>"
    difference = evaluation.differences[model][metric]
    base = evaluation.values[evaluation.reference][metric].mean
    text = f"{difference.mean / base:+.1%}" if base else f"{difference.mean:+.4f}"
    kind = "up" if difference.low > 0 else "down" if difference.high < 0 else ""
    return f'<span class="{kind}">{text}</span>'


def _panels(evaluation: Evaluation, colors: dict[str, str]) -> str:
    panels = (
        interval_panel(
            label(metric),
            {model_label(model): evaluation.values[model][metric] for model in evaluation.models},
            [colors[model] for model in evaluation.models],
        )
        for metric in evaluation.metrics
    )
    return '<div class="panels">' + "".join(f"<div>{panel}</div>" for panel in panels) + "</div>"


def _examples(evaluation: Evaluation) -> str:
    if not evaluation.examples:
        return ""
    return (
        "<h2>Slates as a user would see them</h2>"
        '<p class="soft">Test slates drawn at random, and what each model would have shown instead.<br>'
        '<span class="key engaged"></span>effectively viewed in the logged slate &emsp;'
        '<span class="key exposed"></span>exposed there, not viewed</p>'
        + "".join(_example(example, evaluation.models) for example in evaluation.examples)
    )


def _example(example: Example, models: Sequence[str]) -> str:
    chips = "".join(f'<span class="chip">{_brief(item)}</span>' for item in example.history)
    columns = [_slate("Logged", example.logged)]
    columns += [_slate(model_label(model), example.generated[model]) for model in models]
    return (
        f'<section class="example"><p><span class="soft">Viewed before, oldest first:</span> {chips}</p>'
        f'<div class="slates">{"".join(columns)}</div></section>'
    )


def _slate(title: str, items: Sequence[ExampleItem]) -> str:
    cards = "".join(_card(item) for item in items)
    return f"<div><h3>{escape(title)}</h3><ol>{cards}</ol></div>"


def _card(item: ExampleItem) -> str:
    kind = "engaged" if item.engaged else "exposed" if item.exposed else ""
    duration = f" · {item.duration_seconds:.0f} s" if item.duration_seconds is not None else ""
    return f'<li class="{kind}">{_name(item)}<span>{escape(item.category)}{duration}</span></li>'


def _brief(item: ExampleItem) -> str:
    return f"{_name(item)} · {escape(item.category)}"


def _name(item: ExampleItem) -> str:
    return escape(item.title if item.title is not None else f"Item {item.item_id}")
