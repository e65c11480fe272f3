"""Example slates as HTML: the logged one, and beside it what each model would have shown."""

from collections.abc import Sequence
from html import escape

from higr.evaluation.results import Evaluation, Example, ExampleItem
from higr.evaluation.verdict import model_label


def examples(evaluation: Evaluation) -> str:
    """The section of the page; empty where there is no example."""
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
