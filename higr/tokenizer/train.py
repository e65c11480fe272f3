"""Training of the quantisers with an encoder: one seed gives one set of weights on CPU."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from higr.config import TokenizerConfig
from higr.progress import Progress
from higr.tokenizer import losses
from higr.tokenizer.codebooks import fit_codebooks, refit_codebooks, reseed_dead
from higr.tokenizer.pcrq_vae import PCRQVAE, Quantised

SETTLE_SHARE = 0.2
"""Share of the epochs, the last, in which codewords are no longer re-seeded. With `refit` they stay as
they were fitted before it, and only the decoder learns."""
RQ_VAE_COMMITMENT = 0.25
"""beta of RQ-VAE (TIGER, arXiv 2305.05065, section 3.1)."""


@dataclass(frozen=True)
class Objective:
    """What is minimised: the weight of each term.

    Attributes:
        levels: w_d of the contrast, one for each level it reaches.
        straight: the contrast moves the encoder instead of the codebooks.
        refit: codebooks are fitted once more before the last epochs.
    """

    reconstruction: float
    global_quantisation: float
    layer_quantisation: float
    contrast: float
    commitment: float
    temperature: float
    levels: tuple[float, ...]
    straight: bool
    refit: bool

    @classmethod
    def of(cls, config: TokenizerConfig) -> Self:
        """PCRQ-VAE as configured; RQ-VAE with the losses it was published with."""
        weights = config.level_weights
        if config.contrast_levels == "all":
            weights = (*weights, weights[-1])
        plain = config.kind == "rq_vae"
        return cls(
            reconstruction=config.reconstruction_weight,
            global_quantisation=0.0 if plain else config.global_weight,
            layer_quantisation=1.0 if plain else config.layer_weight,
            contrast=0.0 if plain else config.contrast_weight,
            commitment=RQ_VAE_COMMITMENT if plain else config.commitment,
            temperature=config.temperature,
            levels=weights,
            straight=config.contrast_gradient == "encoder",
            refit=config.refit,
        )


def train_vae(
    embeddings: np.ndarray,
    positives: np.ndarray,
    config: TokenizerConfig,
    seed: int,
    progress: Progress | None = None,
) -> PCRQVAE:
    """Fit a PCRQ-VAE or an RQ-VAE to embeddings that `fit.check_embeddings` let pass.

    embeddings: (N, width) float32 content vectors; a memory map is read a batch at a time.
    positives: (N, P) rows of each item's positives, -1 for none.
    """
    model = build_vae(embeddings.shape[1], config, seed)
    objective = Objective.of(config)
    optimizer = torch.optim.AdamW(
        [
            {"params": [*model.encoder.parameters(), *model.decoder.parameters()], "weight_decay": 0.01},
            {"params": [model.codewords], "weight_decay": 0.0},  # a codeword nobody uses must not drift to 0
        ],
        lr=config.learning_rate,
    )
    steps = config.epochs * math.ceil(len(embeddings) / config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, steps, eta_min=0.01 * config.learning_rate
    )
    batches = _Batches(model, embeddings, positives, objective, seed)
    settled = max(1, min(math.ceil((1 - SETTLE_SHARE) * config.epochs), config.epochs - 1))
    fit_codebooks(model, embeddings, seed)
    for epoch in range(config.epochs):
        frozen = objective.refit and epoch >= settled
        if frozen and epoch == settled:
            refit_codebooks(model, embeddings, seed)
        used = torch.zeros(model.codewords.shape[:2], dtype=torch.bool)
        for rows in batches.rows(config.batch_size):
            if frozen and objective.reconstruction == 0:
                break  # nothing is left to learn
            if frozen:
                loss = batches.decoding(rows)
            else:
                loss, quantised = batches.all_terms(rows)
                used[torch.arange(config.depth), quantised.codes] = True
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch < settled - 1:
            residuals = batches.residuals(max(config.codebook_size, config.batch_size))
            reseed_dead(model, residuals, used, optimizer, batches.generator)
        if progress is not None:
            progress("tokenizer", epoch + 1, config.epochs)
    return model.eval().requires_grad_(False)


def build_vae(width: int, config: TokenizerConfig, seed: int = 0) -> PCRQVAE:
    """An untrained model for content vectors of `width`; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PCRQVAE(
            width=width,
            hidden=config.hidden,
            latent_dim=config.latent_dim,
            depth=config.depth,
            codebook_size=config.codebook_size,
            unit=config.latent == "sphere",
        )


class _Batches:
    """Which rows make a batch, and what it loses; terms of weight 0 are not computed."""

    def __init__(
        self,
        model: PCRQVAE,
        embeddings: np.ndarray,
        positives: np.ndarray,
        objective: Objective,
        seed: int,
    ) -> None:
        self.model, self.objective, self.embeddings = model, objective, embeddings
        self.friends = torch.from_numpy(np.ascontiguousarray(positives))
        self.generator = torch.Generator().manual_seed(seed)
        self.draws = torch.Generator().manual_seed(seed + 1)  # without positives the order stays the same

    def rows(self, size: int) -> Iterator[Tensor]:
        """All rows once, in random order, at most `size` at a time."""
        yield from torch.randperm(len(self.embeddings), generator=self.generator).split(size)

    @torch.no_grad()
    def residuals(self, size: int) -> Tensor:
        """What each level is given of `size` items drawn anew, or of all there are. (B, D, C)."""
        rows = torch.randperm(len(self.embeddings), generator=self.generator)[:size]
        return self.model.quantise(self.model.latent(self._content(rows))).residuals

    def decoding(self, rows: Tensor) -> Tensor:
        """The reconstruction alone, of codes that stay as they are: its gradient reaches the decoder only."""
        x = self._content(rows)
        with torch.no_grad():
            quantised = self.model.quantise(self.model.latent(x)).sum
        return self.objective.reconstruction * losses.reconstruction(x, self.model.decoder(quantised))

    def all_terms(self, rows: Tensor) -> tuple[Tensor, Quantised]:
        """All terms, and what the anchors were quantised to. rows: (B,) anchors."""
        terms, size = self.objective, len(rows)
        pairs = self._pairs(rows)
        x = self._content(pairs.rows)
        z = self.model.latent(x)
        both = self.model.quantise(z)
        anchors = Quantised(both.codes[:size], both.selected[:size], both.residuals[:size])
        z, x, total = z[:size], x[:size], anchors.sum
        loss = z.new_zeros(())
        if terms.reconstruction > 0:
            loss = terms.reconstruction * losses.reconstruction(x, self.model.reconstruct(z, total))
        if terms.global_quantisation > 0:
            loss = loss + terms.global_quantisation * losses.global_quantisation(z, total, terms.commitment)
        if terms.layer_quantisation > 0:
            loss = loss + terms.layer_quantisation * losses.layer_quantisation(
                anchors.residuals, anchors.selected, terms.commitment
            )
        if terms.contrast > 0:
            selected = both.selected
            if terms.straight:
                selected = losses.straight_through(both.residuals, selected)
            loss = loss + terms.contrast * self._contrast(selected, pairs, terms.levels)
        return loss, anchors

    def _contrast(self, vectors: Tensor, pairs: "_Pairs", levels: tuple[float, ...]) -> Tensor:
        size = len(pairs.valid)
        return losses.prefix_contrast(
            vectors[:size], vectors[size:], pairs.related, pairs.valid, levels, self.objective.temperature
        )

    def _pairs(self, rows: Tensor) -> "_Pairs":
        if self.objective.contrast <= 0:
            return _Pairs(rows, torch.zeros(0, dtype=torch.bool), torch.zeros((0, 0), dtype=torch.bool))
        positive, valid = _draw(self.friends, rows, self.draws)
        return _Pairs(torch.cat([rows, positive]), valid, _related(self.friends, rows, positive))

    def _content(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(self.embeddings[rows.numpy()], dtype=np.float32))


@dataclass(frozen=True)
class _Pairs:
    """Anchors, then a positive each: rows (2 B,), valid (B,), related (B, B). No contrast: anchors alone."""

    rows: Tensor
    valid: Tensor
    related: Tensor


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
