"""The evaluation as a table for the terminal."""

from rich.table import Table

from higr.evaluation.results import Evaluation
from higr.evaluation.verdict import is_accuracy, label, model_label


def table(evaluation: Evaluation) -> Table:
    """One row a metric, one column a model, so that it fits 80 characters; the best mean in bold.

    Metrics of accuracy, diversity and coverage; the page has the others. Figures below 1 are written as
    .1234.
    """
    counts = f"{evaluation.slates:,} test slates of {evaluation.users:,} users"
    title = f"{counts}, {evaluation.confidence:.0%} intervals"
    result = Table(title=title, title_justify="left")
    result.add_column("")
    for model in evaluation.models:
        result.add_column(model_label(model), justify="right", min_width=11)
    for metric in evaluation.metrics:
        if not is_accuracy(metric) and not metric.startswith("intra_list_diversity"):
            continue
        values = [evaluation.values[model][metric] for model in evaluation.models]
        best = max(value.mean for value in values)
        cells = []
        for value in values:
            mean = f"[bold]{_short(value.mean)}[/]" if value.mean == best else _short(value.mean)
            cells.append(f"{mean}\n[dim]{_short(value.low)}–{_short(value.high)}[/]")
        result.add_row(label(metric), *cells)
    result.add_row("Coverage", *(f"{evaluation.coverage[model]:.1%}" for model in evaluation.models))
    return result


def _short(value: float) -> str:
    text = f"{value:.4f}"
    return text[1:] if text.startswith("0.") else text
