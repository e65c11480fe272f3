"""Codes as vectors, items as their codes' sum (arXiv 2512.24787, section 3.2)."""

from typing import Literal

import torch
from torch import Tensor, nn

Pooling = Literal["sum", "mean", "max"]


class CodeEmbedding(nn.Module):
    """One vector a codeword of every level, in one table of D * K rows.

    Args:
        pooling: what makes an item of its D vectors. The paper sums; mean and max gave it about the same.
    """

    offset: Tensor

    def __init__(self, depth: int, codebook_size: int, width: int, pooling: Pooling) -> None:
        super().__init__()
        self.table = nn.Embedding(depth * codebook_size, width)
        self.pooling = pooling
        self.register_buffer("offset", torch.arange(depth) * codebook_size, persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """(..., D) codes -> (..., D, C)."""
        return self.table(codes + self.offset)

    def level(self, level: int, codes: Tensor) -> Tensor:
        """(...) codes of one level, counted from 0 -> (..., C)."""
        return self.table(codes + self.offset[level])

    def items(self, codes: Tensor) -> Tensor:
        """(..., D) codes -> (..., C)."""
        vectors = self(codes)
        if self.pooling == "max":
            return vectors.amax(dim=-2)
        return vectors.sum(dim=-2) if self.pooling == "sum" else vectors.mean(dim=-2)
