"""Intervals as inline SVG: one panel a metric, one line a model, each panel with a scale of its own."""

from collections.abc import Mapping, Sequence
from html import escape

from higr.evaluation.bootstrap import Interval

PANEL, LABEL, LINE, TOP = 300, 92, 26, 30
"""Width of a panel, room for model names, height of a line, room for the title; pixels."""


def interval_panel(title: str, rows: Mapping[str, Interval], colors: Sequence[str]) -> str:
    """One SVG: a dot at each mean, a bar over its interval, the two ends of the scale below.

    Args:
        rows: label to interval, top to bottom.
        colors: one CSS colour a row.
    """
    low = min(row.low for row in rows.values())
    high = max(row.high for row in rows.values())
    margin = 0.08 * (high - low) or 0.05
    low, high = low - margin, high + margin
    height = TOP + LINE * len(rows) + 22

    def x(value: float) -> float:
        return LABEL + (PANEL - LABEL - 12) * (value - low) / (high - low)

    parts = [
        f'<svg viewBox="0 0 {PANEL} {height}" role="img" aria-label="{escape(title)}">',
        f'<text x="0" y="14" class="panel">{escape(title)}</text>',
    ]
    bottom = TOP + LINE * len(rows)
    for tick in (low + margin, high - margin):
        parts.append(
            f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 6}" y2="{bottom}" class="grid"/>'
        )
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 15}" class="tick">{tick:.3f}</text>')
    for index, ((name, row), color) in enumerate(zip(rows.items(), colors, strict=True)):
        y = TOP + LINE * index + LINE / 2 - 3
        parts.append(f'<text x="0" y="{y + 4}" class="name">{escape(name)}</text>')
        parts.append(
            f'<line x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y}" y2="{y}" '
            f'stroke="{color}" class="bar"/>'
            f'<circle cx="{x(row.mean):.1f}" cy="{y}" r="4.5" fill="{color}"/>'
        )
    return "".join([*parts, "</svg>"])
