"""Inline SVG: intervals, a panel a metric with a scale of its own; learning curves, a panel a training."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from higr.evaluation.bootstrap import Interval

CURVES = {"train_loss": ("training", "#9aa8a7"), "validation_loss": ("validation", "#0f766e")}
"""Series of a curve: name and colour."""
WIDE, HIGH, LEFT = 480, 190, 44
"""Size of a panel of curves and room for its scale; pixels."""
POINTS = 200
"""A longer series is drawn as the means of as many stretches."""
PANEL, LABEL, LINE, TOP = 300, 106, 26, 30
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


def curve_panel(title: str, records: Sequence[Mapping[str, Any]]) -> str:
    """One SVG of losses over steps, the best validation marked; empty where no loss was recorded.

    Args:
        records: lines of `curve.jsonl`: `steps`, and of each series a loss or None.
    """
    series = {key: _points(records, key) for key in CURVES}
    drawn = np.concatenate(list(series.values()))
    if not len(drawn):
        return ""
    (left, low), (right, high) = drawn.min(axis=0), drawn.max(axis=0)
    bottom, across, up = HIGH - 24, (right - left) or 1.0, (high - low) or 1.0

    def place(point: np.ndarray) -> tuple[float, float]:
        x = LEFT + (WIDE - LEFT - 14) * (point[0] - left) / across
        return float(x), float(bottom - (bottom - TOP) * (point[1] - low) / up)

    parts = [
        f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{escape(title)}">',
        f'<text x="0" y="14" class="panel">{escape(title)}</text>',
    ]
    for value, level in ((high, TOP), (low, bottom)):
        parts.append(f'<line x1="{LEFT}" x2="{WIDE}" y1="{level}" y2="{level}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{level + 4}" class="tick end">{value:.3g}</text>')
    parts.append(f'<text x="{LEFT}" y="{HIGH - 6}" class="tick start">step {left:,.0f}</text>')
    parts.append(f'<text x="{WIDE - 14}" y="{HIGH - 6}" class="tick end">step {right:,.0f}</text>')
    legend = float(WIDE - 14)
    for key, points in reversed(series.items()):
        name, color = CURVES[key]
        if not len(points):
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, points))
        parts.append(f'<polyline points="{path}" class="curve" stroke="{color}"/>')
        if len(points) == 1:
            x, y = place(points[0])
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>')
        parts.append(f'<text x="{legend}" y="14" class="tick end" style="fill:{color}">{name}</text>')
        legend -= 76
    kept = _points([record for record in records if not record.get("breach")], "validation_loss")
    if len(kept):
        best = kept[np.argmin(kept[:, 1])]
        x, y = place(best)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{CURVES["validation_loss"][1]}"/>')
    return "".join([*parts, "</svg>"])


def _points(records: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """(P, 2) step and loss, P at most `POINTS`."""
    known = [(r["steps"], r[key]) for r in records if r.get(key) is not None and r.get("steps") is not None]
    points = np.array(known, dtype=np.float64).reshape(-1, 2)
    if len(points) <= POINTS:
        return points
    return np.array([part.mean(axis=0) for part in np.array_split(points, POINTS)])
