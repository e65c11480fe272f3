"""Nearest items: by content (faiss), by company (co-occurrence).

Both give (N, neighbours) int64 row numbers, best first, -1 where an item has no more; an item is
never its own neighbour, and of equals the lower row goes first, so that results can be repeated.
faiss is imported where it is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from scipy.sparse import csr_matrix

from higr.errors import InputError
from higr.tokenizer.cooccurrence import cosine_pairs

EXACT = 200_000
"""Distinct vectors up to which every pair is compared; the time grows with their square."""

PROBES = 32
"""Lists a query looks into beyond that: about 0.9 of the true ten nearest on vectors of 24 strong
directions, nearly all where there are clear clusters."""

BLOCK = 4096
SPARE = 8
DECIMALS = 6  # the seventh depends on the block BLAS happened to compute a cosine in
PAIRS = 4_000_000


def content_neighbours(embeddings: np.ndarray, neighbours: int) -> np.ndarray:
    """The items of highest positive cosine, to six decimals.

    embeddings: (N, width) float32, rows of length 1 or 0; may be a memory map. Identical vectors are
    searched for once and stand together, in row order. Up to 200,000 distinct vectors the search is
    exact; above that an inverted file of float16 vectors is, with seeds fixed: memory is 2 * width
    bytes a vector.

    Raises:
        InputError: NaN or infinite values.
    """
    size = len(embeddings)
    out = np.full((size, neighbours), -1, np.int64)
    if not embeddings.size:
        return out
    groups = _identical(embeddings)
    distinct = len(groups.first)
    found = _exact if distinct <= EXACT else _inverted
    for start, score, column in found(embeddings, groups.first, min(neighbours + 1 + SPARE, distinct)):
        nearest = groups.rows_of(column, score > 0, neighbours + 1)  # (b, neighbours + 1), own group first
        begin, end = groups.offsets[start], groups.offsets[start + len(column)]
        items = groups.members[begin:end]
        lists = nearest[groups.of[items] - start]
        others = lists != items[:, None]
        others[others.all(axis=1), -1] = False
        out[items] = lists[others].reshape(-1, neighbours)
    return out


def cooccurrence_neighbours(counts: csr_matrix, neighbours: int) -> np.ndarray:
    """The items of highest co-occurrence cosine; company met only once is chance and not taken.

    counts: (N, N) symmetric pair counts.
    """
    often = counts.copy()
    often.data[often.data < 2] = 0.0
    often.eliminate_zeros()
    scores = cosine_pairs(often)
    scores.sort_indices()
    size = scores.shape[0]
    out = np.full((size, neighbours), -1, np.int64)
    start = 0
    while start < size:
        stop = int(np.searchsorted(scores.indptr, scores.indptr[start] + PAIRS, side="right")) - 1
        stop = max(stop, start + 1)  # an item of more company than a block is a block of its own
        part = scores[start:stop]
        row = np.repeat(np.arange(stop - start), np.diff(part.indptr))
        order = np.lexsort((-part.data, row))  # stable: columns are sorted within a row
        place = np.arange(len(row)) - part.indptr[row]
        kept = place < neighbours
        out[start + row[kept], place[kept]] = part.indices[order[kept]]
        start = stop
    return out


@dataclass(frozen=True)
class Groups:
    """Rows that hold the same vector, for N rows and U vectors.

    Attributes:
        first: (U,) the lowest row of each, ascending.
        of: (N,) the group of each row.
        offsets, members: rows of group g, ascending, are members[offsets[g]:offsets[g + 1]].
    """

    first: np.ndarray
    of: np.ndarray
    offsets: np.ndarray
    members: np.ndarray

    def rows_of(self, column: np.ndarray, valid: np.ndarray, count: int) -> np.ndarray:
        """(b, count) rows of the groups `column` (b, k), where `valid`, end to end; then -1."""
        sizes = np.where(valid, np.diff(self.offsets)[column], 0)
        ends = sizes.cumsum(axis=1)
        out = np.full((len(column), count), -1, np.int64)
        each = np.arange(len(column))
        for place in range(count):
            which = (ends <= place).sum(axis=1)
            there = np.flatnonzero(which < column.shape[1])
            which = which[there]
            within = place - (ends - sizes)[each[there], which]
            out[there, place] = self.members[self.offsets[column[there, which]] + within]
        return out


def _identical(embeddings: np.ndarray) -> Groups:
    """Groups of equal rows, told by a 128-bit hash of their bytes."""
    hashes = np.empty((len(embeddings), 2), np.uint64)
    for start in range(0, len(embeddings), BLOCK):
        rows = _rows(embeddings, np.arange(start, min(start + BLOCK, len(embeddings))))
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise InputError(
                f"embeddings: row {start + bad[0]} holds NaN or infinite values; compute it again or leave "
                "the item out"
            )
        digests = b"".join(blake2b(row, digest_size=16).digest() for row in rows)
        hashes[start : start + len(rows)] = np.frombuffer(digests, np.uint64).reshape(-1, 2)
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: rows ascend within a group
    starts = np.concatenate([[True], np.any(hashes[order[1:]] != hashes[order[:-1]], axis=1)])
    first = order[starts]
    name = np.empty(len(order), np.int64)
    name[order] = starts.cumsum() - 1
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    of = rank[name]
    offsets = np.concatenate([[0], np.bincount(of, minlength=len(first)).cumsum()])
    return Groups(np.sort(first), of, offsets, np.argsort(of, kind="stable"))


Found = Iterator[tuple[int, np.ndarray, np.ndarray]]
"""Blocks of vectors: the first one's number, (b, k) cosines, (b, k) numbers; the vector itself first."""


def _exact(embeddings: np.ndarray, first: np.ndarray, count: int) -> Found:
    import faiss

    vectors = _rows(embeddings, first)
    for start in range(0, len(vectors), BLOCK):
        queries = vectors[start : start + BLOCK]
        nearest = faiss.knn(queries, vectors, count, metric=faiss.METRIC_INNER_PRODUCT)
        score, column = _ordered(start, queries, *nearest)
        if count < len(vectors):
            _settle_ties(vectors, start, score, column)
        yield start, score, column


def _inverted(embeddings: np.ndarray, first: np.ndarray, count: int) -> Found:
    """4 * sqrt(U) lists, rounded up to a power of 2; k-means on at most 64 vectors a list."""
    import faiss

    width, lists = embeddings.shape[1], 1 << int(np.ceil(np.log2(4 * np.sqrt(len(first)))))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(width), width, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed, index.cp.niter, index.nprobe = 0, 10, min(PROBES, lists)
    sample = np.arange(min(len(first), 64 * lists)) * len(first) // min(len(first), 64 * lists)
    index.train(_rows(embeddings, first[sample]))
    for start in range(0, len(first), BLOCK):
        index.add(_rows(embeddings, first[start : start + BLOCK]))
    for start in range(0, len(first), BLOCK):
        queries = _rows(embeddings, first[start : start + BLOCK])
        yield start, *_ordered(start, queries, *index.search(queries, count))


def _ordered(
    start: int, queries: np.ndarray, score: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """By falling rounded score, then by number; the vector itself, found or not, first unless it is zero."""
    own = start + np.arange(len(queries))[:, None]
    struck = (column == own) | (column < 0)  # -1: an inverted file had no more in the lists looked into
    score = np.where(struck, -np.inf, np.round(np.where(struck, 0, score), DECIMALS))
    itself = np.where(queries.any(axis=1, keepdims=True), np.inf, -np.inf)
    score = np.hstack([itself, score])
    column = np.hstack([own, np.maximum(column, 0)])
    order = np.lexsort((column, -score))
    return np.take_along_axis(score, order, axis=1), np.take_along_axis(column, order, axis=1)


def _settle_ties(vectors: np.ndarray, start: int, score: np.ndarray, column: np.ndarray) -> None:
    """Where the last taken is as near as the last found there may be lower rows as near: look at all."""
    last = score[:, -2]  # the very last place is the vector itself, struck out
    tied = np.flatnonzero((last > 0) & (last == score[:, -2 - SPARE]))
    for begin in range(0, len(tied), 64):
        rows = tied[begin : begin + 64]
        every = np.round(vectors[start + rows] @ vectors.T, DECIMALS)
        every[np.arange(len(rows)), start + rows] = np.inf
        for row, own in zip(rows.tolist(), every, strict=True):
            near = np.flatnonzero(own > last[row] - 2 * 10.0**-DECIMALS)
            near = near[np.lexsort((near, -own[near]))][: score.shape[1]]
            score[row] = -np.inf
            score[row, : len(near)], column[row, : len(near)] = own[near], near


def _rows(embeddings: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(embeddings[rows], dtype=np.float32)
