"""Keeping codebooks alive: k-means on residuals to begin with, re-seeding of unused codewords later,
and in the end a fit that uses all codewords alike.
"""

import numpy as np
import torch
from torch import Tensor

from higr.tokenizer.groups import prefix_groups
from higr.tokenizer.pcrq_vae import PCRQVAE
from higr.tokenizer.residual import blocks, kmeans, residual_codes
from higr.tokenizer.residual_kmeans import evenly, fair_prices, fit_residual_kmeans


@torch.no_grad()
def fit_codebooks(model: PCRQVAE, x: np.ndarray, seed: int) -> None:
    """Set each codebook to the k-means centres of the residuals the level before left.

    x: (N, width), may be a memory map. Fewer distinct residuals than codewords leave codewords that
    coincide; training re-seeds them.
    """
    depth, size, _ = model.codewords.shape
    fitted = fit_residual_kmeans(_latents(model, x, balanced=False).numpy(), depth, size, seed)
    model.codewords.copy_(torch.from_numpy(fitted.codebooks))


@torch.no_grad()
def refit_codebooks(model: PCRQVAE, x: np.ndarray, seed: int) -> None:
    """Codebooks and prices at which every codeword takes equally many items; not in the paper.

    The last codebook is fitted to the differences between items of one prefix instead of to the
    residuals: what prefixes leave is much alike for the items of one, and a codebook that spends its
    codewords on telling prefixes apart gives all of them the same last code. Items are still placed by
    their residuals, as at every level.
    """
    depth, size, _ = model.codewords.shape
    latents = _latents(model, x, balanced=True)
    upper = fit_residual_kmeans(latents.numpy(), depth - 1, size, seed, balanced=True)
    books, prices = torch.from_numpy(upper.codebooks), torch.from_numpy(upper.prices)
    codes, total = residual_codes(latents, books, prices)
    residual = latents - total
    differences = _within(residual, prefix_groups(codes.numpy())[-1])
    if len(differences) < size:  # hardly a prefix of two items: all differences are between prefixes
        differences = residual
    last = torch.from_numpy(kmeans(differences.numpy(), size, seed + depth - 1))
    own = fair_prices(residual.double(), last.double(), torch.zeros(size, dtype=torch.float64))
    model.codewords.copy_(torch.cat([books, last[None]]))
    model.prices.copy_(torch.cat([prices, own.float()[None]]))


def _latents(model: PCRQVAE, x: np.ndarray, *, balanced: bool) -> Tensor:
    """Of as many rows as a fit looks at."""
    sample = evenly(x, model.codewords.shape[1], balanced=balanced)
    return torch.cat([model.latent(block) for block in blocks(sample)])


def _within(residual: Tensor, group: np.ndarray) -> Tensor:
    """Residuals less their group's mean, of the groups of two and more. (N, C), (N,) -> (R, C)."""
    number = torch.from_numpy(group)
    counts = torch.bincount(number)
    sums = residual.new_zeros((len(counts), residual.shape[1])).index_add_(0, number, residual)
    return (residual - (sums / counts[:, None])[number])[counts[number] > 1]


@torch.no_grad()
def reseed_dead(
    model: PCRQVAE,
    residuals: Tensor,
    used: Tensor,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> int:
    """Put unused codewords, up to B a level, on residuals of different items; returns how many moved.

    residuals: (B, D, C) of B items. used: (D, K) bool. Its optimiser moments are cleared: they
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
