"""The zoomable prefix tree of the report: its data, bounded, and the element that shows it.

The page draws it with `tree_view.js`; without scripts the static picture in the element stays.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from higr.tokenizer.figures import OTHER
from higr.tokenizer.groups import count_cells, prefix_groups

WHOLE = 20_000
"""Items up to which the page holds every prefix of up to D - 1 codes and every item."""
NODES, SAMPLE = 4_000, 5
"""Beyond: the largest prefixes of up to 2 codes, and the most engaged items of each of the deepest."""
MIX, TITLE, LABEL = 6, 90, 60
"""Main categories told of a prefix; longest title and category in characters."""


@dataclass(frozen=True)
class TreeItems:
    """What the tree shows, one row an item.

    Attributes:
        codes: (N, D), before the collision policy.
        item_ids, titles, categories: N each; an empty title is none.
        engagement: (N,) engaged events of the training period.
    """

    codes: np.ndarray
    item_ids: Sequence[str]
    titles: Sequence[str]
    categories: Sequence[str]
    engagement: np.ndarray


def tree_element(items: TreeItems, codebook_size: int, colors: dict[str, str], static: str) -> str:
    """HTML of the tree; `static` is what stands there without scripts, as HTML."""
    payload = json.dumps(
        tree_payload(items, codebook_size, colors), separators=(",", ":"), ensure_ascii=False
    )
    # A title that closes the script element would end it wherever it stands, quoted or not.
    for character in "<>&\u2028\u2029":
        payload = payload.replace(character, f"\\u{ord(character):04x}")
    return (
        f'<div class="card tree" id="tree">{static}</div>'
        f'<script type="application/json" id="tree-data">{payload}</script>'
    )


def tree_script() -> str:
    """The program that draws it."""
    return resources.files("higr.tokenizer").joinpath("tree_view.js").read_text(encoding="utf-8")


def tree_payload(items: TreeItems, codebook_size: int, colors: dict[str, str]) -> dict[str, Any]:
    """Columns of nodes (prefixes; the first is the root) and of items, ready for `json.dumps`.

    A node's `mix` is its main categories and their items: number, items, number, items, ...
    """
    count, depth = items.codes.shape
    whole = count <= WHOLE
    names, labels = _by_frequency(items.categories)
    groups = prefix_groups(items.codes)[: depth - 1 if whole else min(2, depth - 1)]
    sizes = [np.bincount(group) for group in groups]
    numbers = _number(sizes, len(sizes) * count if whole else NODES)
    nodes: dict[str, list[Any]] = {
        "parent": [-1],
        "code": [-1],
        "items": [count],
        "engaged": [int(items.engagement.sum())],
        "mix": _mixes(np.zeros(count, np.int64), labels, np.array([0])),
    }
    above = np.zeros(count, np.int64)  # node of every item, one level up
    for level, (group, size, number) in enumerate(zip(groups, sizes, numbers, strict=True)):
        kept = np.flatnonzero(number >= 0)
        _, first = np.unique(group, return_index=True)
        nodes["parent"] += above[first[kept]].tolist()
        nodes["code"] += items.codes[first[kept], level].tolist()
        nodes["items"] += size[kept].tolist()
        nodes["engaged"] += np.bincount(group, items.engagement)[kept].astype(int).tolist()
        nodes["mix"] += _mixes(group, labels, kept)
        above = number[group]
    rows = _listed(groups[-1], above, items.engagement, count if whole else SAMPLE)
    return {
        "codes": depth,
        "size": codebook_size,
        "deepest": len(groups),
        "whole": whole,
        "categories": [_cut(name, LABEL) for name in names],
        "colors": [colors.get(name, OTHER) for name in names],
        "nodes": nodes,
        "items": {
            "node": above[rows].tolist(),
            "id": [items.item_ids[row] for row in rows],
            "title": [_cut(items.titles[row], TITLE) for row in rows],
            "category": labels[rows].tolist(),
            "engaged": items.engagement[rows].tolist(),
            "codes": ["-".join(map(str, code)) for code in items.codes[rows].tolist()],
        },
    }


def tree_note(count: int) -> str:
    """What the page leaves out of a catalogue of so many items; empty where nothing."""
    if count <= WHOLE:
        return ""
    return (
        f"To stay light, this page holds the {NODES:,} largest prefixes of up to two codes and, of each of "
        f"two codes, its {SAMPLE} most engaged items; only these are found by the search."
    )


def _by_frequency(categories: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Distinct categories, the most frequent first, and the number of every item's."""
    names, labels, counts = np.unique(
        np.asarray(categories, dtype=str), return_inverse=True, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return names[order].tolist(), rank[labels]


def _number(sizes: list[np.ndarray], limit: int) -> list[np.ndarray]:
    """Node number of every group at every depth, from 1; -1 for all but the `limit` largest."""
    size = np.concatenate(sizes)
    depth = np.repeat(np.arange(len(sizes)), [len(groups) for groups in sizes])
    # A prefix is no smaller than those below it and comes before them: what is kept has its parents.
    keep = np.sort(np.lexsort((depth, -size))[:limit])
    numbers = np.full(len(size), -1)
    numbers[keep] = np.arange(1, len(keep) + 1)
    return np.split(numbers, np.cumsum([len(groups) for groups in sizes])[:-1])


def _mixes(group: np.ndarray, labels: np.ndarray, kept: np.ndarray) -> list[list[int]]:
    """Of the kept groups, in order: label, items, label, items, ..., most items first."""
    holder, label, counts = count_cells(group, labels)
    order = np.lexsort((label, -counts, holder))
    holder, label, counts = holder[order], label[order], counts[order]
    start = np.searchsorted(holder, kept)
    end = np.minimum(np.searchsorted(holder, kept, "right"), start + MIX)
    cells = np.column_stack([label, counts])
    return [cells[a:b].ravel().tolist() for a, b in zip(start.tolist(), end.tolist(), strict=True)]


def _listed(group: np.ndarray, node: np.ndarray, engagement: np.ndarray, most: int) -> np.ndarray:
    """Rows of at most so many items a group that has a node, most engaged first."""
    order = np.lexsort((-engagement, group))
    start = np.flatnonzero(np.diff(group[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(start, np.diff(start, append=len(order)))
    return order[(rank < most) & (node[order] >= 0)]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
