"""Residual quantisation: nearest codeword, take it away, nearest codeword of what is left.

The one assignment rule of all quantisers here, and the k-means that codebooks start from.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 4096
"""Vectors encoded at once: their distances to 1,024 codewords fit a second-level cache."""
ITERATIONS = 25


def nearest(points: Tensor, codebook: Tensor, prices: Tensor | None = None) -> Tensor:
    """(B,) int64, the codeword of least squared distance plus price; ties go to the lower code.

    points: (B, C). codebook: (K, C). prices: (K,); None: all 0.
    """
    own = codebook.square().sum(dim=-1)  # + ||points||^2, equal for all codewords
    cost = torch.addmm(own if prices is None else own + prices, points, codebook.T, alpha=-2.0)
    return cost.argmin(dim=-1)


def residual_codes(points: Tensor, codebooks: Tensor, prices: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Codes (B, D) int64 of (B, C) points, and the sum of their codewords (B, C).

    codebooks: (D, K, C). prices: (D, K).
    """
    codes, total, residual = [], torch.zeros_like(points), points
    for level, codebook in enumerate(codebooks):
        code = nearest(residual, codebook, None if prices is None else prices[level])
        chosen = F.embedding(code, codebook)
        codes.append(code)
        total, residual = total + chosen, residual - chosen
    return torch.stack(codes, dim=1), total


def sum_codewords(codes: Tensor, codebooks: Tensor) -> Tensor:
    """(B, C): what (B, D) codes stand for."""
    return torch.stack([F.embedding(code, book) for code, book in zip(codes.T, codebooks, strict=True)]).sum(
        0
    )


def blocks(x: np.ndarray) -> Iterator[Tensor]:
    """Rows of (N, width), which may be a memory map, as float32 tensors of at most `BLOCK` rows."""
    for start in range(0, len(x), BLOCK):
        yield torch.from_numpy(
            np.array(x[start : start + BLOCK], dtype=np.float32)
        )  # a copy: x may be read-only


def kmeans(points: np.ndarray, size: int, seed: int) -> np.ndarray:
    """(size, C) float32 centres of (N, C) points; N is at least `size`.

    Where fewer points are distinct, centres coincide. faiss looks at no more than 256 points a
    centre, drawn by the seed.
    """
    import faiss  # fitting alone needs it: serving and encoding do without

    model = faiss.Kmeans(
        points.shape[1], size, niter=ITERATIONS, seed=seed, min_points_per_centroid=1, verbose=False
    )
    model.train(np.ascontiguousarray(points, dtype=np.float32))
    return np.asarray(model.centroids, dtype=np.float32).reshape(size, -1)
