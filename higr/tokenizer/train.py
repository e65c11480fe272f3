"""Training of the quantiser: one seed gives one set of weights on CPU."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from higr.config import TokenizerConfig
from higr.errors import InputError
from higr.tokenizer import losses
from higr.tokenizer.codebooks import kmeans_init, reseed_dead
from higr.tokenizer.pcrq_vae import PCRQVAE

Progress = Callable[[str, int, int], None]
"""Called after each epoch with ("tokenizer", epochs done, epochs in all)."""

SETTLE_SHARE = 0.2
"""Share of the epochs, the last, in which codewords are no longer re-seeded."""


def train_quantizer(
    embeddings: np.ndarray,
    positives: np.ndarray,
    config: TokenizerConfig,
    seed: int,
    progress: Progress | None = None,
) -> PCRQVAE:
    """Fit a PCRQ-VAE.

    embeddings: (N, width) float32 content vectors. positives: (N, P) rows of each item's
    positives, -1 for none.

    Raises:
        InputError: NaN or infinite values, all items alike, or fewer items than codewords.
    """
    check_embeddings(embeddings, config.codebook_size)
    x = torch.from_numpy(np.ascontiguousarray(embeddings, dtype=np.float32))
    friends = torch.from_numpy(np.ascontiguousarray(positives))
    model = build_quantizer(x.shape[1], config, seed)
    kmeans_init(model, x, seed)
    optimizer = torch.optim.AdamW(
        [
            {"params": [*model.encoder.parameters(), *model.decoder.parameters()], "weight_decay": 0.01},
            {"params": [model.codebooks], "weight_decay": 0.0},  # a codeword nobody uses must not drift to 0
        ],
        lr=config.learning_rate,
    )
    steps = config.epochs * math.ceil(len(x) / config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, steps, eta_min=0.01 * config.learning_rate
    )
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(config.epochs):
        used = torch.zeros(model.codebooks.shape[:2], dtype=torch.bool)
        residuals = x.new_zeros(0)
        for rows in _batches(len(x), config.batch_size, generator):
            loss, codes, residuals = _step(model, x, rows, friends, config, generator)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            used[torch.arange(config.depth), codes] = True
        if epoch < (1 - SETTLE_SHARE) * config.epochs - 1:
            reseed_dead(model, residuals, used, optimizer, generator)
        if progress is not None:
            progress("tokenizer", epoch + 1, config.epochs)
    return model.eval()


def build_quantizer(width: int, config: TokenizerConfig, seed: int = 0) -> PCRQVAE:
    """An untrained model for content vectors of `width`; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PCRQVAE(
            width=width,
            hidden=config.hidden,
            latent_dim=config.latent_dim,
            depth=config.depth,
            codebook_size=config.codebook_size,
        )


def check_embeddings(embeddings: np.ndarray, codebook_size: int) -> None:
    """Raise InputError for embeddings nothing can be learnt from."""
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        raise InputError(
            f"embeddings: {len(bad)} of {len(embeddings)} items hold NaN or infinite values, "
            f"first in row {bad[0]}; compute them again or leave those items out"
        )
    if len(embeddings) < codebook_size:
        raise InputError(
            f"embeddings: {len(embeddings)} items are fewer than tokenizer.codebook_size {codebook_size}; "
            "lower the codebook size or give more items"
        )
    if (embeddings == embeddings[0]).all():
        raise InputError(
            f"embeddings: all {len(embeddings)} items are alike; give items text, tags or embeddings "
            "that tell them apart"
        )


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    yield from torch.randperm(count, generator=generator).split(size)


def _step(
    model: PCRQVAE,
    x: Tensor,
    rows: Tensor,
    friends: Tensor,
    config: TokenizerConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss of one batch, its codes (B, D), its residuals (B, D, C)."""
    positive, valid = _draw(friends, rows, generator)
    z = model.encoder(x[torch.cat([rows, positive])])
    both = model.quantise(z)
    size = len(rows)
    loss = losses.reconstruction(x[rows], model.reconstruct(z[:size], both.sum[:size]))
    loss = loss + config.global_weight * losses.global_quantisation(
        z[:size], both.sum[:size], config.commitment
    )
    if config.contrast_weight > 0:
        contrast = losses.prefix_contrast(
            both.selected[:size],
            both.selected[size:],
            both.codes[:size],
            both.codes[size:],
            _related(friends, rows, positive),
            valid,
            config.level_weights,
            config.temperature,
        )
        loss = loss + config.contrast_weight * contrast
    return loss, both.codes[:size], both.residuals[:size].detach()


def _draw(friends: Tensor, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One positive an anchor, uniformly among its own; the anchor itself, marked invalid, if none."""
    own = friends[rows]  # (B, P)
    weights = torch.rand(own.shape, generator=generator).masked_fill(own < 0, -1.0)
    drawn = own.gather(1, weights.argmax(dim=1, keepdim=True)).squeeze(1)
    return torch.where(drawn >= 0, drawn, rows), drawn >= 0


def _related(friends: Tensor, rows: Tensor, positive: Tensor) -> Tensor:
    """(B, B) bool: is row j's positive the anchor i, or in i's list of positives?"""
    mine = (friends[rows][:, :, None] == positive[None, None, :]).any(dim=1)
    return mine | (rows[:, None] == positive[None, :])
