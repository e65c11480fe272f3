"""Positives of the contrast: for each item, the items its prefix should agree with.

Mined once, before training, from content vectors and training co-occurrence (HiGR, section on the
tokenizer: semantically similar items, or items that co-occur often; how many is not reported).
Category labels are never used by themselves: they are the yardstick of prefix quality. They count
only as far as `embedding.category_weight` puts them into the content vector.
"""

from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from higr.tokenizer.cooccurrence import cosine_pairs

BLOCK = 2048


def mine_positives(
    embeddings: np.ndarray,
    counts: csr_matrix,
    kind: Literal["content", "cooccurrence", "mixed"],
    neighbours: int,
) -> np.ndarray:
    """(N, neighbours) int64 row numbers, nearest first, -1 where an item has no more.

    embeddings: (N, width), rows of length 1. counts: (N, N) pair counts. `mixed` gives the first
    half to content, the rest to co-occurrence. Ties go to the lower row; an item is never its own.
    """
    if kind == "content":
        return content_neighbours(embeddings, neighbours)
    if kind == "cooccurrence":
        return cooccurrence_neighbours(counts, neighbours)
    by_content = content_neighbours(embeddings, (neighbours + 1) // 2)
    return np.hstack([by_content, cooccurrence_neighbours(counts, neighbours // 2)])


def content_neighbours(embeddings: np.ndarray, neighbours: int) -> np.ndarray:
    """The items of highest positive cosine, exact, blockwise: memory is 2,048 x N floats."""
    size = len(embeddings)
    out = np.full((size, neighbours), -1, np.int64)
    kept = min(neighbours, size - 1)
    for start in range(0, size, BLOCK):
        scores = embeddings[start : start + BLOCK] @ embeddings.T
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf
        # Equal content is common; a stable sort of the few best keeps the choice reproducible.
        best = np.sort(np.argpartition(-scores, kept - 1, axis=1)[:, :kept], axis=1)
        value = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-value, axis=1, kind="stable")
        best, value = np.take_along_axis(best, order, axis=1), np.take_along_axis(value, order, axis=1)
        out[start : start + BLOCK, :kept] = np.where(value > 0, best, -1)
    return out


def cooccurrence_neighbours(counts: csr_matrix, neighbours: int) -> np.ndarray:
    """The items of highest co-occurrence cosine; company met only once is chance and not taken."""
    size = counts.shape[0]
    often = counts.copy()
    often.data[often.data < 2] = 0.0
    often.eliminate_zeros()
    scores = cosine_pairs(often)
    out = np.full((size, neighbours), -1, np.int64)
    for item in range(size):
        start, stop = scores.indptr[item], scores.indptr[item + 1]
        columns, values = scores.indices[start:stop], scores.data[start:stop]
        best = np.lexsort((columns, -values))[:neighbours]
        out[item, : len(best)] = columns[best]
    return out
