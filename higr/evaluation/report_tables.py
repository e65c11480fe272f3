"""Tables of the evaluation page: figures, paired differences, slices."""

from collections.abc import Mapping, Sequence
from html import escape

from higr.evaluation.bootstrap import Interval
from higr.evaluation.compare import Difference
from higr.evaluation.results import Evaluation, Slice
from higr.evaluation.verdict import is_accuracy, label, model_label, p_text

SLICES = {
    "new_users": "New users",
    "known_users": "Known users",
    "short_history": "Short history",
    "medium_history": "Medium history",
    "long_history": "Long history",
    "head_items": "Head items",
    "tail_items": "Tail items",
    "cold_items": "Cold items",
}
SIGNED = ("popularity_lift",)
"""Metrics written as a percentage with a sign."""


def accuracy(evaluation: Evaluation, colors: Mapping[str, str]) -> str:
    """A row a model, a column a metric; the best mean is bold."""
    metrics = [metric for metric in evaluation.metrics if is_accuracy(metric)]
    rows = []
    for model in evaluation.models:
        cells = []
        for metric in metrics:
            best = max(row[metric].mean for row in evaluation.values.values())
            value = evaluation.values[model][metric]
            change = _change(evaluation, model, metric)
            cells.append(_cell(metric, value, bold=value.mean == best, below=change))
        rows.append(f"<tr>{_model(model, colors)}{''.join(cells)}</tr>")
    return _table(["Model", *map(label, metrics)], rows)


def beyond_accuracy(evaluation: Evaluation, colors: Mapping[str, str]) -> str:
    """What no user's answer is needed for; neither end of these is good by itself, so none is bold."""
    metrics = [metric for metric in evaluation.metrics if not is_accuracy(metric)]
    rows = [
        f"<tr>{_model(model, colors)}"
        + "".join(_cell(metric, evaluation.values[model][metric]) for metric in metrics)
        + f"<td>{evaluation.coverage[model]:.1%}</td><td>{evaluation.gini[model]:.3f}</td></tr>"
        for model in evaluation.models
    ]
    return _table(["Model", *map(label, metrics), "Coverage", "Gini"], rows)


def against(evaluation: Evaluation, colors: Mapping[str, str]) -> str:
    """A row a rival: the subject minus it, with intervals and adjusted p-values."""
    metrics = [metric for metric in evaluation.metrics if is_accuracy(metric)]
    level = 1 - evaluation.confidence
    rows = [
        f"<tr>{_model(rival, colors, 'against ')}"
        + "".join(_difference(evaluation.against[rival].get(metric), level) for metric in metrics)
        + "</tr>"
        for rival in evaluation.models
        if rival in evaluation.against
    ]
    return _table([model_label(evaluation.subject), *map(label, metrics)], rows)


def slices(evaluation: Evaluation, metric: str, colors: Mapping[str, str], kind: str) -> str:
    """A row a slice that has the metric, a column a model. `kind`: users or items."""
    rows = [
        _slice_row(evaluation, part, found)
        for part in evaluation.slices
        for found in part.metrics
        if part.name.endswith("_items") == (kind == "items") and (kind == "items" or found == metric)
    ]
    head = [f"{label(metric)} of", *(f"{_dot(colors[m])}{escape(model_label(m))}" for m in evaluation.models)]
    return _table(head, rows, escaped=True)


def _slice_row(evaluation: Evaluation, part: Slice, metric: str) -> str:
    count = f"{part.slates:,} slates of {part.users:,} users"
    name = f"<th>{escape(SLICES.get(part.name, part.name))}<span>{count}</span></th>"
    if not part.values:
        text = f"fewer than {evaluation.min_slice:,} slates: too few for figures"
        return f'<tr>{name}<td class="few" colspan="{len(evaluation.models)}">{text}</td></tr>'
    found = {model: row[metric] for model, row in part.values.items() if metric in row}
    best = max((value.mean for value in found.values()), default=0.0)
    cells = [
        _cell(metric, found[model], bold=found[model].mean == best) if model in found else "<td>–</td>"
        for model in evaluation.models
    ]
    return f"<tr>{name}{''.join(cells)}</tr>"


def _cell(metric: str, value: Interval, *, bold: bool = False, below: str = "") -> str:
    form, between = ("+.0%", "to") if metric.split("@")[0] in SIGNED else (".4f", "–")
    mean, low, high = (format(number, form) for number in (value.mean, value.low, value.high))
    mean = f"<b>{mean}</b>" if bold else mean
    return f"<td>{mean}<span>{low} {between} {high}</span>{below}</td>"


def _difference(value: Difference | None, level: float) -> str:
    if value is None:
        return "<td>–</td>"
    kind = "" if value.p_adjusted > level else "up" if value.mean > 0 else "down"
    ratio = f" ({value.ratio.mean - 1:+.1%})" if value.ratio is not None else ""
    return (
        f'<td><i class="{kind}">{value.mean:+.4f}{ratio}</i>'
        f"<span>{value.low:+.4f} to {value.high:+.4f}</span><span>{p_text(value.p_adjusted)}</span></td>"
    )


def _change(evaluation: Evaluation, model: str, metric: str) -> str:
    if model == evaluation.reference:
        return "<span>reference</span>"
    difference = evaluation.differences[model].get(metric)
    if difference is None:
        return ""
    ratio = difference.ratio
    text = f"{ratio.mean - 1:+.1%}" if ratio is not None else f"{difference.mean:+.4f}"
    kind = "up" if difference.low > 0 else "down" if difference.high < 0 else ""
    return f'<span class="{kind}">{text}</span>'


def _model(model: str, colors: Mapping[str, str], before: str = "") -> str:
    return f"<th>{_dot(colors[model])}{before}{escape(model_label(model))}</th>"


def _dot(color: str) -> str:
    return f'<span class="dot" style="background:{color}"></span>'


def _table(head: Sequence[str], rows: Sequence[str], *, escaped: bool = False) -> str:
    cells = "".join(f"<th>{name if escaped else escape(name)}</th>" for name in head)
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
