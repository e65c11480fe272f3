"""The items most similar to an item, or least: what fills a slate that lacks variety."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from higr.catalog import Catalog

ROWS, COLUMNS = 256, 1 << 14
"""Similarities held at once: 16 MiB."""


def quantised_vectors(catalog: Catalog, codebooks: Tensor, items: Sequence[int] | None = None) -> Tensor:
    """(N, latent) float32 of length 1: the sum of an item's D codewords.

    The code that the collision policy `extend` adds stands for no codeword and is left out.

    Args:
        codebooks: (D, K, latent).
        items: N catalogue positions; None: all.
    """
    asked = catalog.code_tensor if items is None else catalog.code_tensor[list(items)]
    vectors = torch.zeros(len(asked), codebooks.shape[-1])
    for codebook, codes in zip(codebooks.float(), asked.T, strict=False):
        vectors += codebook[codes]
    return torch.nn.functional.normalize(vectors, dim=1)


def similarity_order(
    vectors: Tensor,
    items: np.ndarray,
    wanted: int,
    form: str = "similar_fill",
    levels: np.ndarray | None = None,
) -> np.ndarray:
    """For every asked item the `wanted` others of highest cosine, or lowest (`dissimilar_fill`).

    Exact, with len(items) * N * latent multiplications: it pays to ask for few items, each
    once. With a latent width of 32, one of a million items costs 3 to 6 ms of a core.

    Args:
        vectors: (N, latent) of length 1.
        items: (U,) catalogue positions.
        levels: (N,); where given, only items of a lower level than the asked one are among the others.

    Returns:
        (U, wanted) int64 catalogue positions, best first, -1 where there are no more.
    """
    count = min(wanted, len(vectors) - 1)
    found = np.full((len(items), wanted), -1, dtype=np.int64)
    level = None if levels is None else torch.from_numpy(levels)
    sign = -1.0 if form == "dissimilar_fill" else 1.0
    for start in range(0, len(items), ROWS):
        asked = torch.from_numpy(items[start : start + ROWS])
        best = torch.full((len(asked), count), -torch.inf)
        others = torch.full((len(asked), count), -1)
        for low in range(0, len(vectors), COLUMNS):
            likeness = sign * vectors[asked] @ vectors[low : low + COLUMNS].T  # (ROWS, COLUMNS)
            width = likeness.shape[1]
            here = (asked >= low) & (asked < low + width)
            likeness[here.nonzero()[:, 0], asked[here] - low] = -torch.inf
            if level is not None:
                likeness.masked_fill_(level[low : low + width] >= level[asked, None], -torch.inf)
            near = likeness.topk(min(count, width), dim=1)
            best, order = torch.cat([best, near.values], dim=1).topk(count, dim=1)
            others = torch.cat([others, near.indices + low], dim=1).gather(1, order)
        found[start : start + ROWS, :count] = others.masked_fill(best == -torch.inf, -1).numpy()
    return found
