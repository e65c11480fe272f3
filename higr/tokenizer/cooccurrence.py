"""Which items are met together: in one stretch of a user's time, in one slate.

Everything here is computed from the training period only; an item without any company is unknown
to it. scikit-learn costs seconds to import and is imported where it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_matrix, csr_matrix

from higr.data.schemas import Feedback

EXPOSED_TOGETHER = 0.5
"""What a pair of one slate counts for of which not both were engaged with."""


def count_pairs(
    events: pa.Table, item_ids: Sequence[str], window: int, slates: pa.Table | None = None
) -> csr_matrix:
    """How often two items were met together: by one user's engagement, and in one slate.

    A user who engages with both, at most `window` engagements apart or in one slate, says most: 1,
    once for each such meeting, although it be found both ways. That both were put into one slate
    says, without any feedback, that whoever made the slate took them for alike: it counts 0.5 (not
    reported by the paper). It reaches items that are rarely engaged with, and it predicts: of pairs
    engaged with in a later slate more are among one another's ten nearest (docs/items.md).

    events: `LABELLED_EVENTS` of the training period, sorted by user and time.
    slates: `SLATES` of the training period; None: histories alone.
    Returns (N, N) symmetric float64 without a diagonal, in the order of `item_ids`; items not
    listed are passed over.
    """
    engaged = events.filter(pc.greater_equal(events["feedback"], int(Feedback.ENGAGED)))
    known = pa.array(item_ids, pa.string())
    user = engaged["user_id"].combine_chunks().dictionary_encode().indices
    users = user.to_numpy(zero_copy_only=False).astype(np.int64)
    items = _numbers(engaged["item_id"], known)
    users, items = users[items >= 0], items[items >= 0]
    size = len(item_ids)
    total = csr_matrix((size, size), dtype=np.float64)
    for apart in range(1, window + 1):
        left, right = items[:-apart], items[apart:]
        pair = (users[:-apart] == users[apart:]) & (left != right)
        total += _matrix(left[pair], right[pair], np.ones(int(pair.sum())), size)
    if slates is not None:
        total += _slate_pairs(slates, known, window)
    return (total + total.T).tocsr()


def _slate_pairs(slates: pa.Table, known: pa.Array, window: int) -> csr_matrix:
    """One triangle of what slates add to the pairs that histories hold."""
    lists = slates["item_ids"].combine_chunks()
    items = _numbers(pc.list_flatten(lists), known)
    slate = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    feedback = pc.list_flatten(slates["feedback"].combine_chunks()).to_numpy(zero_copy_only=False)
    slate, engaged, items = slate[items >= 0], feedback[items >= 0] >= Feedback.ENGAGED, items[items >= 0]
    order = engaged.cumsum()
    total = csr_matrix((len(known), len(known)), dtype=np.float64)
    for apart in range(1, int(np.bincount(slate).max(initial=1))):
        left, right = items[:-apart], items[apart:]
        pair = (slate[:-apart] == slate[apart:]) & (left != right)
        both = engaged[:-apart] & engaged[apart:]
        beyond = order[apart:] - order[:-apart] > window
        weight = np.where(both, np.where(beyond, 1.0, 0.0), EXPOSED_TOGETHER)
        pair &= weight > 0
        total += _matrix(left[pair], right[pair], weight[pair], len(known))
    return total


def _numbers(items: pa.Array | pa.ChunkedArray, known: pa.Array) -> np.ndarray:
    """Place of each item in `known`, -1 where it is not there."""
    return pc.fill_null(pc.index_in(items, known), -1).to_numpy().astype(np.int64)


def _matrix(left: np.ndarray, right: np.ndarray, weight: np.ndarray, size: int) -> csr_matrix:
    return coo_matrix((weight, (left, right)), shape=(size, size)).tocsr()


def cosine_pairs(counts: csr_matrix) -> csr_matrix:
    """Counts over the root of the product of both items' totals: popularity taken out."""
    scale = 1.0 / np.sqrt(np.maximum(_totals(counts), 1.0))
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    value = counts.data * scale[row] * scale[counts.indices]
    return csr_matrix((value, counts.indices, counts.indptr), shape=counts.shape)


def ppmi(counts: csr_matrix, smoothing: float = 0.75) -> csr_matrix:
    """Positive pointwise mutual information; context totals are raised to `smoothing`.

    Levy, Goldberg and Dagan, TACL 2015: smoothing keeps rare contexts from dominating.
    """
    pairs = counts.tocoo()
    totals = _totals(counts)
    context = totals**smoothing
    # log [p(i, j) / (p(i) p'(j))], p' smoothed; the grand total cancels once.
    value = np.log(pairs.data * context.sum() / (totals[pairs.row] * context[pairs.col]))
    keep = value > 0
    return csr_matrix((value[keep], (pairs.row[keep], pairs.col[keep])), shape=counts.shape)


def _totals(counts: csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()


@dataclass(frozen=True)
class CooccurrenceBlock:
    """Items seen in training, each with the vector of its company.

    Attributes:
        item_ids: those with at least one pair.
        vectors: (items, width) float32.
    """

    item_ids: list[str]
    vectors: np.ndarray

    @property
    def width(self) -> int:
        return self.vectors.shape[1]

    @classmethod
    def fit(
        cls, counts: csr_matrix, item_ids: Sequence[str], width: int, seed: int, sample: int = 200_000
    ) -> Self:
        """SVD of the PPMI matrix of the items that have company.

        Directions are fitted on the `sample` items of most company; the others are placed by their
        company with these.
        """
        totals = _totals(counts)
        seen = np.flatnonzero(totals > 0)
        width = min(width, len(seen) - 1, sample - 1)
        if width < 1:
            return cls([], np.zeros((0, 0), np.float32))
        from sklearn.decomposition import TruncatedSVD

        matrix = ppmi(counts[seen][:, seen])
        core = np.sort(np.argsort(-totals[seen], kind="stable")[:sample])
        matrix = matrix[:, core]
        svd = TruncatedSVD(width, random_state=seed, n_iter=7).fit(matrix[core])
        # Columns are scaled by the root of their singular value: the symmetric factor of PPMI.
        vectors = svd.transform(matrix) / np.sqrt(np.maximum(svd.singular_values_, 1e-12))
        return cls([item_ids[i] for i in seen.tolist()], vectors.astype(np.float32))

    @cached_property
    def _row(self) -> dict[str, int]:
        return {item: i for i, item in enumerate(self.item_ids)}

    def transform(self, items: pa.Table) -> np.ndarray:
        """(N, width) float32; an item unseen in training is all zeros."""
        ids = items["item_id"].to_pylist()
        found = np.array([self._row.get(item, -1) for item in ids], dtype=np.int64)
        out = np.zeros((len(ids), self.width), np.float32)
        out[found >= 0] = self.vectors[found[found >= 0]]
        return out

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"item_ids": self.item_ids}, {"vectors": self.vectors}

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        return cls(meta["item_ids"], arrays["vectors"])
