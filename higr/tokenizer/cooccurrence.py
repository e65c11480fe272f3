"""Which items are engaged with in the same stretch of a user's time.

Everything here is computed from training events only; an item without any is unknown to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_matrix, csr_matrix, diags
from sklearn.decomposition import TruncatedSVD

from higr.data.schemas import Feedback


def count_pairs(events: pa.Table, item_ids: Sequence[str], window: int) -> csr_matrix:
    """How often two items were engaged with by one user at most `window` engagements apart.

    events: `LABELLED_EVENTS` of the training period, sorted by user and time.
    Returns (N, N) symmetric float64 without a diagonal, in the order of `item_ids`; events of
    items not listed are passed over.
    """
    engaged = events.filter(pc.greater_equal(events["feedback"], int(Feedback.ENGAGED)))
    item = pc.index_in(engaged["item_id"], pa.array(item_ids, pa.string()))
    user = engaged["user_id"].combine_chunks().dictionary_encode().indices
    users = user.to_numpy(zero_copy_only=False).astype(np.int64)
    items = pc.fill_null(item, -1).to_numpy().astype(np.int64)
    users, items = users[items >= 0], items[items >= 0]
    size = len(item_ids)
    total = csr_matrix((size, size), dtype=np.float64)
    for apart in range(1, window + 1):
        left, right = items[:-apart], items[apart:]
        pair = (users[:-apart] == users[apart:]) & (left != right)
        ones = np.ones(int(pair.sum()))
        total += coo_matrix((ones, (left[pair], right[pair])), shape=(size, size)).tocsr()
    return (total + total.T).tocsr()


def cosine_pairs(counts: csr_matrix) -> csr_matrix:
    """Counts over the root of the product of both items' totals: popularity taken out."""
    scale = 1.0 / np.sqrt(np.maximum(_totals(counts), 1.0))
    return (diags(scale) @ counts @ diags(scale)).tocsr()


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

    @classmethod
    def fit(cls, counts: csr_matrix, item_ids: Sequence[str], width: int, seed: int) -> Self:
        """SVD of the PPMI matrix of the items that have company."""
        seen = np.flatnonzero(_totals(counts) > 0).tolist()
        width = min(width, len(seen) - 1)
        if width < 1:
            return cls([], np.zeros((0, 0), np.float32))
        svd = TruncatedSVD(width, random_state=seed, n_iter=7)
        vectors = svd.fit_transform(ppmi(counts[seen][:, seen]))
        # Columns are scaled by the root of their singular value: the symmetric factor of PPMI.
        vectors = vectors / np.sqrt(np.maximum(svd.singular_values_, 1e-12))
        return cls([item_ids[i] for i in seen], vectors.astype(np.float32))

    def transform(self, item_ids: Sequence[str]) -> np.ndarray:
        """(N, width) float32; an item unseen in training is all zeros."""
        row = {item: i for i, item in enumerate(self.item_ids)}
        found = np.array([row.get(item, -1) for item in item_ids], dtype=np.int64)
        out = np.zeros((len(item_ids), self.vectors.shape[1]), np.float32)
        out[found >= 0] = self.vectors[found[found >= 0]]
        return out

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"item_ids": self.item_ids}, {"vectors": self.vectors}

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        return cls(meta["item_ids"], arrays["vectors"])
