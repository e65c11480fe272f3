"""The evaluation as a table for the terminal."""

from rich.table import Table

from higr.evaluation.results import Evaluation
from higr.evaluation.verdict import label, model_label


def table(evaluation: Evaluation) -> Table:
    """One row a model: mean and interval of each metric, the best mean in bold."""
    counts = f"{evaluation.slates:,} test slates of {evaluation.users:,} users"
    title = f"{counts}, {evaluation.confidence:.0%} intervals"
    result = Table(title=title, title_justify="left")
    result.add_column("Model", no_wrap=True)
    for metric in evaluation.metrics:
        result.add_column(label(metric), justify="right")
    result.add_column("Coverage", justify="right")
    for model in evaluation.models:
        cells = []
        for metric in evaluation.metrics:
            value = evaluation.values[model][metric]
            best = max(row[metric].mean for row in evaluation.values.values())
            mean = f"[bold]{value.mean:.4f}[/]" if value.mean == best else f"{value.mean:.4f}"
            cells.append(f"{mean}\n[dim]{value.low:.4f}–{value.high:.4f}[/]")
        result.add_row(model_label(model), *cells, f"{evaluation.coverage[model]:.1%}")
    return result
