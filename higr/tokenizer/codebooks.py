"""Keeping codebooks alive: k-means on residuals to begin with, re-seeding of unused codewords later."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from higr.tokenizer.pcrq_vae import PCRQVAE
from higr.tokenizer.residual import blocks, kmeans, nearest

SAMPLE = 256
"""Vectors a codeword that k-means starts from, at most; evenly spaced."""


@torch.no_grad()
def kmeans_init(model: PCRQVAE, x: np.ndarray, seed: int) -> None:
    """Set each codebook to the k-means centres of the residuals the level before left.

    x: (N, width), may be a memory map. Fewer distinct residuals than codewords leave codewords that
    coincide; training re-seeds them.
    """
    size = model.codewords.shape[1]
    sample = x[:: -(-len(x) // (SAMPLE * size))]
    residual = torch.cat([model.latent(block) for block in blocks(sample)])
    for level, codebook in enumerate(model.codewords):
        codebook.copy_(torch.from_numpy(kmeans(residual.numpy(), size, seed + level)))
        residual = residual - F.embedding(nearest(residual, codebook), codebook)


@torch.no_grad()
def reseed_dead(
    model: PCRQVAE,
    residuals: Tensor,
    used: Tensor,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> int:
    """Put every unused codeword on the residual of a random item; returns how many moved.

    residuals: (B, D, C) of a batch. used: (D, K) bool. Its optimiser moments are cleared: they
    belong to the place it was moved from.
    """
    moved = 0
    moments = [
        state for key, state in optimizer.state.get(model.codewords, {}).items() if key.startswith("exp_avg")
    ]
    for level, alive in enumerate(used):
        dead = (~alive).nonzero().flatten()
        rows = torch.randperm(len(residuals), generator=generator)[: len(dead)]
        dead = dead[: len(rows)]
        model.codewords[level, dead] = residuals[rows, level]
        for moment in moments:
            moment[level, dead] = 0.0
        moved += len(dead)
    return moved
