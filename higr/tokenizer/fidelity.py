"""How much of the items' content the codes keep.

Content vectors have length 1, so nearest by inner product is nearest by angle. They may be a memory
map: all passes go in blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from higr.tokenizer.groups import prefix_groups

NEAREST = 10
"""Content neighbours asked for an item."""
QUERIES, LEAST, COMPARISONS = 20_000, 2_000, 2_000_000_000
"""Items asked at most and, where so many would need more comparisons than that, at least: a share of
2,000 items has a standard error of 0.011."""
BLOCK = 65_536
"""Rows at a time."""
GRID = 1e4
"""Vectors that agree to 4 decimals are the same content; the rest is rounding of arithmetic."""


@dataclass(frozen=True)
class Fidelity:
    """Content against codes.

    Attributes:
        identical: items whose content vector another item has, too. No codes can tell them apart.
        collision_floor: 1 - distinct content vectors / N, which collision cannot fall below.
        explained_variance: 1 - mean squared reconstruction error / variance of the content; 1 is
            perfect, 0 no better than the mean vector. None where all content is the same.
        neighbours: share of items with at least one of their 10 nearest items in content under the
            same prefix, at depths 1 to D; items without any content are not asked.
        asked: items that were.
        empty: items without any content; they count as identical.
    """

    identical: int
    collision_floor: float
    explained_variance: float | None
    neighbours: tuple[float, ...]
    asked: int
    empty: int = 0


def measure_fidelity(content: np.ndarray, codes: np.ndarray, errors: np.ndarray, seed: int = 0) -> Fidelity:
    """content: (N, width) rows of length 1 or 0. codes: (N, D). errors: (N,) squared errors."""
    copies = _copies(content)
    variance = _variance(content)
    known = _known(content)
    queries = _sample(known, len(content), seed)
    nearest = nearest_rows(content, queries, NEAREST)
    return Fidelity(
        identical=int(copies[copies > 1].sum()),
        collision_floor=1.0 - len(copies) / len(content),
        explained_variance=1.0 - float(np.mean(errors)) / variance if variance > 1e-9 else None,
        neighbours=tuple(
            float(((group[nearest] == group[queries, None]) & (nearest >= 0)).any(axis=1).mean())
            if len(queries)
            else 0.0
            for group in prefix_groups(codes)
        ),
        asked=len(queries),
        empty=len(content) - len(known),
    )


def nearest_rows(content: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """(Q, count) rows of largest inner product with each query row, itself left out; -1: no more rows.

    queries: (Q,) row numbers. Exact.
    """
    import faiss

    asked = np.ascontiguousarray(content[queries], dtype=np.float32)
    best = np.full((len(queries), count), -np.inf, np.float32)
    rows = np.full((len(queries), count), -1, np.int64)
    if not len(queries):
        return rows
    for start, block in _blocks(content):
        some = min(count + 1, len(block))
        score, found = faiss.knn(asked, block, some, metric=faiss.METRIC_INNER_PRODUCT)
        found = found + start
        score[found == queries[:, None]] = -np.inf
        score, found = np.hstack([best, score]), np.hstack([rows, found])
        order = np.argsort(-score, axis=1, kind="stable")[:, :count]
        best, rows = np.take_along_axis(score, order, 1), np.take_along_axis(found, order, 1)
    return np.where(np.isfinite(best), rows, -1)


def _blocks(content: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(content), BLOCK):
        yield start, np.ascontiguousarray(content[start : start + BLOCK], dtype=np.float32)


def _known(content: np.ndarray) -> np.ndarray:
    """Rows that are not all zeros."""
    return np.concatenate([start + np.flatnonzero(block.any(axis=1)) for start, block in _blocks(content)])


def _sample(known: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Rows to ask, sorted, of a catalogue of `count` items."""
    limit = min(QUERIES, max(LEAST, COMPARISONS // count))
    if len(known) <= limit:
        return known
    return np.sort(np.random.default_rng(seed).choice(known, limit, replace=False))


def _copies(content: np.ndarray) -> np.ndarray:
    """Items of each distinct content vector."""
    odd = np.random.default_rng(0).integers(2**63, size=content.shape[1], dtype=np.uint64) | np.uint64(1)
    hashes = np.concatenate(
        [
            (np.rint(block * GRID).astype(np.int64).view(np.uint64) * odd).sum(axis=1, dtype=np.uint64)
            for _, block in _blocks(content)
        ]
    )
    return np.asarray(np.unique(hashes, return_counts=True)[1])


def _variance(content: np.ndarray) -> float:
    """Mean squared distance to the mean vector."""
    total, squares = np.zeros(content.shape[1]), 0.0
    for _, block in _blocks(content):
        total += block.sum(axis=0, dtype=np.float64)
        squares += float(np.einsum("ij,ij->", block, block, dtype=np.float64))
    mean = total / len(content)
    return squares / len(content) - float(mean @ mean)
