"""Keeping codebooks alive: k-means on residuals to begin with, re-seeding of unused codewords later."""

import warnings

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from higr.tokenizer.pcrq_vae import PCRQVAE, nearest

SAMPLE = 20_000


@torch.no_grad()
def kmeans_init(model: PCRQVAE, x: Tensor, seed: int) -> None:
    """Set each codebook to the k-means centres of the residuals the level before left.

    x: (N, width). At most 20,000 rows are used, evenly spaced. Fewer distinct residuals than
    codewords leave codewords that coincide; training re-seeds them.
    """
    sample = x[:: -(-len(x) // SAMPLE)]
    residual = model.encoder(sample)
    size = model.codebooks.shape[1]
    for level, codebook in enumerate(model.codebooks):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            centres = KMeans(size, n_init=1, random_state=seed + level).fit(residual.numpy()).cluster_centers_
        codebook.copy_(torch.from_numpy(np.ascontiguousarray(centres)))
        residual = residual - codebook[nearest(residual, codebook)]


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
        state for key, state in optimizer.state.get(model.codebooks, {}).items() if key.startswith("exp_avg")
    ]
    for level, alive in enumerate(used):
        dead = (~alive).nonzero().flatten()
        rows = torch.randperm(len(residuals), generator=generator)[: len(dead)]
        dead = dead[: len(rows)]
        model.codebooks[level, dead] = residuals[rows, level]
        for moment in moments:
            moment[level, dead] = 0.0
        moved += len(dead)
    return moved
