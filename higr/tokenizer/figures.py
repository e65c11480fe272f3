"""Pictures of semantic IDs as inline SVG: how codewords are used, and what stands under a prefix."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from html import escape

import numpy as np

from higr.tokenizer.groups import count_cells, prefix_groups

COLORS = (
    "#0f766e", "#c2410c", "#4f46e5", "#a16207", "#be185d",
    "#0369a1", "#4d7c0f", "#7e22ce", "#eab308", "#1f2937",
)  # fmt: skip
OTHER = "#b8c0bf"
WIDTH, ONE, TWO = 1000.0, 150.0, 120.0
"""Width of the icicle, heights of its two rows; user units of the SVG."""
AREA, NARROW = 8.0, 0.2
"""Least area of a box in the first row and least width in the second."""
TITLES = 300
"""Prefixes, the largest, that say what they hold when pointed at; more would make the page heavy."""


def palette(categories: Sequence[str]) -> dict[str, str]:
    """A colour for each of the ten most frequent categories; the rest have none and are drawn grey."""
    counts = Counter(categories)
    common = sorted(counts, key=lambda name: (-counts[name], name))[: len(COLORS)]
    return dict(zip(common, COLORS, strict=False))


def usage_histogram(codes: np.ndarray, codebook_size: int) -> str:
    """Items a codeword of one level, most used first; the dashed line is an even spread.

    codes: (N,).
    """
    counts = np.sort(np.bincount(codes, minlength=codebook_size))[::-1]
    top, width, height = max(int(counts[0]), 1), 300.0, 110.0
    bar = width / codebook_size
    path = "".join(
        f"M{i * bar:.2f} {height:g}v-{height * count / top:.2f}h{bar:.2f}V{height:g}z"
        for i, count in enumerate(counts.tolist())
        if count
    )
    even = height - height * len(codes) / codebook_size / top
    return (
        f'<svg viewBox="0 -14 {width:g} {height + 30:g}" role="img" aria-label="items a codeword">'
        f'<path d="{path}" fill="{COLORS[0]}"/><line x1="0" x2="{width:g}" y1="{even:.1f}" y2="{even:.1f}" '
        'stroke="#1c2526" stroke-dasharray="4 3"/>'
        f'<text class="tick" x="0" y="-3">{top} items</text>'
        f'<text class="tick" x="0" y="{height + 13:g}">most used</text>'
        f'<text class="tick" x="{width:g}" y="{height + 13:g}" text-anchor="end">'
        f"least used of {codebook_size}</text></svg>"
    )


def icicle(codes: np.ndarray, categories: Sequence[str], colors: dict[str, str]) -> str:
    """Prefixes of depth 1 and 2, as wide as they hold items; prefixes of one category stand together.

    Depth 1 is filled by its shares of categories; depth 2 up to the share of its main category.
    What would be too small to see is left grey at depth 1 and pooled at depth 2, so that the
    picture stays light whatever the number of items.
    """
    one, two = (_groups(codes[:, :depth], categories) for depth in (1, 2))
    rank = {name: i for i, name in enumerate(colors)}

    def place(prefix: tuple[int, ...], holds: Counter[str]) -> tuple[int, int, tuple[int, ...]]:
        return rank.get(_main(holds), len(rank)), -holds.total(), prefix

    below: dict[tuple[int, ...], list[Counter[str]]] = defaultdict(list)
    for prefix in sorted(two, key=lambda prefix: place(prefix, two[prefix])):
        below[prefix[:1]].append(two[prefix])
    largest = set(sorted(one, key=lambda prefix: (-one[prefix].total(), prefix))[:TITLES])
    unit, left = WIDTH / len(codes), 0.0
    paths: dict[str, list[str]] = defaultdict(list)
    titles = []
    for prefix in sorted(one, key=lambda prefix: place(prefix, one[prefix])):
        width = one[prefix].total() * unit
        _stack(paths, one[prefix], left, width, colors)
        _children(paths, below[prefix], left, unit, colors)
        if prefix in largest:
            titles.append(_title(prefix, one[prefix], left, width))
        left += width
    drawn = "".join(f'<path fill="{color}" d="{"".join(boxes)}"/>' for color, boxes in sorted(paths.items()))
    return (
        f'<svg viewBox="0 0 {WIDTH:g} 280" role="img" aria-label="prefixes">'
        f'<rect width="{WIDTH:g}" height="{ONE:g}" fill="{OTHER}"/>'
        f'<rect y="160" width="{WIDTH:g}" height="{TWO:g}" fill="#eceeed"/>{drawn}{"".join(titles)}</svg>'
    )


def _stack(
    paths: dict[str, list[str]], holds: Counter[str], left: float, width: float, colors: dict[str, str]
) -> None:
    """Shares of the coloured categories from the top; the grey ground stands for the rest."""
    top = 0.0
    for name in colors:
        share = ONE * holds[name] / holds.total()
        if share * width >= AREA:
            paths[colors[name]].append(_box(left, top, width, share))
            top += share


def _children(
    paths: dict[str, list[str]],
    children: list[Counter[str]],
    left: float,
    unit: float,
    colors: dict[str, str],
) -> None:
    """Side by side from `left`; those too narrow to see become one, last."""
    pooled: Counter[str] = Counter()
    width = 0.0
    for holds in children:
        if holds.total() * unit < NARROW:
            pooled[_main(holds)] += holds[_main(holds)]
            width += holds.total() * unit
        else:
            share = TWO * holds[_main(holds)] / holds.total()
            paths[colors.get(_main(holds), OTHER)].append(_box(left, 160.0, holds.total() * unit, share))
            left += holds.total() * unit
    if pooled:
        share = TWO * pooled.total() * unit / width
        paths[colors.get(_main(pooled), OTHER)].append(_box(left, 160.0, width, share))


def _title(prefix: tuple[int, ...], holds: Counter[str], left: float, width: float) -> str:
    said = ", ".join(f"{name} {count}" for name, count in holds.most_common(4))
    return (
        f'<rect x="{left:.2f}" y="0" width="{width:.2f}" height="{ONE:g}" class="edge">'
        f"<title>{prefix[0]}: {holds.total()} items: {escape(said)}</title></rect>"
    )


def _main(holds: Counter[str]) -> str:
    """The most frequent category; ties go to the first in alphabetical order."""
    return min(holds, key=lambda name: (-holds[name], name))


def _groups(prefixes: np.ndarray, categories: Sequence[str]) -> dict[tuple[int, ...], Counter[str]]:
    names, labels = np.unique(np.asarray(categories, dtype=str), return_inverse=True)
    group = prefix_groups(prefixes)[-1]
    _, first = np.unique(group, return_index=True)
    keys = [tuple(prefix) for prefix in prefixes[first].tolist()]
    groups: dict[tuple[int, ...], Counter[str]] = defaultdict(Counter)
    for cell, label, count in zip(*(column.tolist() for column in count_cells(group, labels)), strict=True):
        groups[keys[cell]][str(names[label])] = count
    return groups


def _box(x: float, y: float, width: float, height: float) -> str:
    return f"M{x:.1f} {y:.0f}h{width:.2f}v{height:.1f}h-{width:.2f}z"
