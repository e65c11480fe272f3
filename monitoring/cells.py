"""Cells to count in, and how large a PSI is when nothing has changed.

With B cells and n and m independent rows, two windows of one distribution have PSI ~ (1/n + 1/m)
chi2(B - 1): a level of 64 codes and windows of 500 rows show 0.25 by chance alone. Nor are rows
independent: one user's rows resemble each other, which multiplies this by a design effect (Rao and
Scott 1984, first order). Both are measured here and added to the thresholds; cells too rare for the
approximation are merged.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import chi2

MIN_EXPECTED = 10.0
"""Least rows of a cell in the smaller window, at the mean of its two shares."""
NOISE_QUANTILE = 0.999
OTHER = "other"


@dataclass(frozen=True)
class Cells:
    """One column of both windows, counted in the same cells.

    Attributes:
        labels: (B,) in no order of meaning.
        reference, current: (rows,) index of each row's cell.
    """

    labels: tuple[str, ...]
    reference: np.ndarray
    current: np.ndarray

    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """(B,), (B,): share of the reference's and of the current window's rows."""
        counts = [np.bincount(rows, minlength=len(self.labels)) for rows in (self.reference, self.current)]
        return counts[0] / len(self.reference), counts[1] / len(self.current)

    def psi_parts(self) -> np.ndarray:
        """(B,), each cell's part of the PSI; empty cells are filled as Evidently fills them."""
        old, new = map(_filled, self.shares())
        return (new - old) * np.log(new / old)


def _filled(share: np.ndarray) -> np.ndarray:
    least = share[share > 0].min()
    return np.where(share > 0, share, least / 1e6 if least <= 1e-4 else 1e-4)


def cells(reference: pd.Series, current: pd.Series) -> Cells:
    """Cells of two non-empty columns without missing values; numbers are cut at the reference's deciles.

    Labels with fewer than `MIN_EXPECTED` rows at the mean of both shares go to `other`: the mean, so that a
    label absent from the reference but frequent now keeps its cell, as one that vanished does.
    """
    if pd.api.types.is_float_dtype(reference):
        reference, current = _binned(reference.to_numpy(), current.to_numpy())
    codes, labels = pd.factorize(pd.concat([reference, current], ignore_index=True), sort=True)
    whole = Cells(tuple(map(str, labels)), codes[: len(reference)], codes[len(reference) :])
    return _merged(whole)


def noise(found: Cells, reference_users: np.ndarray, current_users: np.ndarray) -> float:
    """PSI that windows like these stay under with probability `NOISE_QUANTILE` when nothing has changed."""
    if len(found.labels) < 2:
        return 0.0
    per_row = sum(
        design_effect(rows, users) / len(rows)
        for rows, users in ((found.reference, reference_users), (found.current, current_users))
    )
    return float(chi2.ppf(NOISE_QUANTILE, len(found.labels) - 1) * per_row)


def design_effect(rows: np.ndarray, users: np.ndarray) -> float:
    """How many rows are worth one independent row, at least 1.

    Rao and Scott's first-order correction: the variance of cell counts summed over users, against that of
    independent rows, averaged over cells. One user alone counts as one independent row.

    rows: (n,) cell of each row. users: (n,) whose row it is.
    """
    n = len(rows)
    user, names = pd.factorize(users)
    if len(names) < 2:
        return float(n)
    share = np.bincount(rows) / n
    used = np.count_nonzero(share)
    if used < 2:
        return 1.0
    width = len(share)
    pairs, count = np.unique(user.astype(np.int64) * width + rows, return_counts=True)
    size = np.bincount(user)  # (users,) rows a user
    cell, owner = pairs % width, pairs // width
    # sum over users of (count of the cell - size * share)^2, expanded so that absent pairs cost nothing
    squares = np.bincount(cell, count.astype(float) ** 2, width)
    cross = np.bincount(cell, count.astype(float) * size[owner], width)
    variance = squares - 2 * share * cross + share**2 * float((size.astype(float) ** 2).sum())
    variance *= len(names) / (len(names) - 1)
    present = share > 0
    return max(1.0, float((variance[present] / (n * share[present])).sum() / (used - 1)))


def _binned(reference: np.ndarray, current: np.ndarray) -> tuple[pd.Series, pd.Series]:
    values = np.unique(np.concatenate([reference, current]))
    if len(values) <= 20:
        return tuple(pd.Series([f"{value:.4g}" for value in side]) for side in (reference, current))
    edges = np.unique(np.quantile(reference, np.linspace(0.1, 0.9, 9)))
    names = np.array(
        [f"up to {edges[0]:.4g}"]
        + [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
        + [f"over {edges[-1]:.4g}"],
        dtype=object,
    )
    return pd.Series(names[np.searchsorted(edges, reference)]), pd.Series(
        names[np.searchsorted(edges, current)]
    )


def _merged(found: Cells) -> Cells:
    """Rare cells as one; if they are rare even together, they join the smallest of the others."""
    reference, current = found.shares()
    expected = (reference + current) / 2 * min(len(found.reference), len(found.current))
    rare = expected < MIN_EXPECTED
    if not rare.any():
        return found
    kept = np.flatnonzero(~rare)
    labels = [found.labels[i] for i in kept]
    target = np.empty(len(found.labels), dtype=np.int64)
    target[kept] = np.arange(len(kept))
    if len(kept) and expected[rare].sum() < MIN_EXPECTED:
        smallest = int(np.argmin(expected[kept]))
        labels[smallest] = f"{labels[smallest]} and {OTHER}"
        target[rare] = smallest
    else:
        target[rare] = len(labels)
        labels.append(OTHER)
    return Cells(tuple(labels), target[found.reference], target[found.current])
