"""The prefixes that hold most of what does not belong together, with examples."""

from collections import Counter
from collections.abc import Sequence
from html import escape

import numpy as np

from higr.tokenizer.figures import OTHER
from higr.tokenizer.groups import count_cells, prefix_groups

WORST, EXAMPLES, TITLE = 8, 5, 90
"""Worst prefixes shown, items named in each, longest title in characters."""


def worst_groups(codes: np.ndarray, categories: Sequence[str], most: int = WORST) -> list[np.ndarray]:
    """Rows of each prefix of D - 1 codes with the most pairs of items of different categories.

    codes: (N, D). The worst first, ties by prefix; prefixes of one category are left out.
    """
    _, labels = np.unique(np.asarray(categories, dtype=str), return_inverse=True)
    group = prefix_groups(codes[:, :-1])[-1]
    holder, _, counts = count_cells(group, labels)
    strangers = np.bincount(group) ** 2 - np.bincount(holder, counts**2).astype(np.int64)
    worst = np.argsort(-strangers, kind="stable")[:most]
    return [np.flatnonzero(group == number) for number in worst[strangers[worst] > 0]]


def worst_prefixes(
    codes: np.ndarray, categories: Sequence[str], titles: Sequence[str], colors: dict[str, str]
) -> str:
    """HTML of the section: a card a prefix."""
    groups = worst_groups(codes, categories)
    if not groups:
        return "<h2>Worst prefixes</h2><p>No prefix holds items of two categories.</p>"
    cards = "".join(
        _card(codes[rows[0], :-1].tolist(), rows.tolist(), categories, titles, colors) for rows in groups
    )
    return (
        f'<h2>Worst prefixes</h2><p class="soft">Of {codes.shape[1] - 1} codes, those with the most pairs of '
        f'items of different categories.</p><div class="panels worst">{cards}</div>'
    )


def _card(
    prefix: list[int],
    rows: list[int],
    categories: Sequence[str],
    titles: Sequence[str],
    colors: dict[str, str],
) -> str:
    holds = Counter(categories[row] for row in rows)
    bar = "".join(
        f'<i style="flex:{count};background:{colors.get(name, OTHER)}"></i>'
        for name, count in holds.most_common()
    )
    shown = [next(row for row in rows if categories[row] == name) for name, _ in holds.most_common(EXAMPLES)]
    shown += [row for row in rows if row not in shown][: EXAMPLES - len(shown)]
    examples = "".join(
        f"<li>{escape(_cut(titles[row]))} <span>{escape(categories[row])}</span></li>" for row in shown
    )
    code = " &middot; ".join(str(c) for c in prefix)
    return (
        f'<div class="card"><h3>{code} <span>{len(rows)} items, {len(holds)} categories</span></h3>'
        f'<div class="share">{bar}</div><ul>{examples}</ul></div>'
    )


def _cut(title: str) -> str:
    return title if len(title) <= TITLE else title[: TITLE - 1].rstrip() + "…"
