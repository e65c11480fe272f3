"""Which quantiser `tokenizer.kind` names: how it is fitted, and how it is built from what it learnt."""

from typing import Literal

import numpy as np
import torch

from higr.config import TokenizerConfig
from higr.errors import InputError
from higr.progress import Progress
from higr.tokenizer.quantizer import Quantizer
from higr.tokenizer.residual import BLOCK
from higr.tokenizer.residual_kmeans import ResidualKMeans, fit_residual_kmeans
from higr.tokenizer.train import build_vae, train_vae

Kind = Literal["pcrq_vae", "rq_vae", "rq_kmeans", "balanced_kmeans"]


def fit_quantizer(
    embeddings: np.ndarray,
    positives: np.ndarray,
    config: TokenizerConfig,
    seed: int,
    progress: Progress | None = None,
) -> Quantizer:
    """Fit the quantiser that `config.kind` names.

    embeddings: (N, width) float32 content vectors; may be a memory map, which is then never read whole.
    positives: (N, P) rows of each item's positives, -1 for none; PCRQ-VAE alone looks at them.

    Raises:
        InputError: NaN or infinite values, all items alike, fewer items than codewords, or no positives
            for a contrast that has a weight.
    """
    check_embeddings(embeddings, config.codebook_size)
    if config.kind == "pcrq_vae" and config.contrast_weight > 0 and not positives.shape[1]:
        raise InputError(
            f"tokenizer.contrast_weight is {config.contrast_weight:g} but no positives were mined; build the "
            "training set with this configuration, or set the weight to 0"
        )
    if config.kind in ("pcrq_vae", "rq_vae"):
        return train_vae(embeddings, positives, config, seed, progress)
    return fit_residual_kmeans(
        embeddings,
        config.depth,
        config.codebook_size,
        seed,
        balanced=config.kind == "balanced_kmeans",
        progress=progress,
    )


def build_quantizer(state: dict[str, np.ndarray], config: TokenizerConfig) -> Quantizer:
    """The quantiser whose `state` this is.

    Raises:
        InputError: arrays of another kind or size than `config` names.
    """
    try:
        if config.kind in ("rq_kmeans", "balanced_kmeans"):
            books, prices = state["codebooks"], state["prices"]
            if books.shape[:2] != prices.shape or prices.shape != (config.depth, config.codebook_size):
                raise RuntimeError(f"codebooks of shape {books.shape}, prices of shape {prices.shape}")
            return ResidualKMeans(books, prices)
        weights = {name: torch.from_numpy(value) for name, value in state.items()}
        vae = build_vae(weights["encoder.0.weight"].shape[1], config)
        vae.load_state_dict(weights)
        return vae.eval()
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"weights do not fit a {config.kind} as configured ({reason})") from None


def check_embeddings(embeddings: np.ndarray, codebook_size: int) -> None:
    """Raise InputError for embeddings nothing can be learnt from."""
    alike, bad, first = True, 0, -1
    for start in range(0, len(embeddings), BLOCK):
        block = embeddings[start : start + BLOCK]
        wrong = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(wrong) and first < 0:
            first = start + int(wrong[0])
        bad += len(wrong)
        alike = alike and bool((block == embeddings[0]).all())
    if bad:
        raise InputError(
            f"embeddings: {bad} of {len(embeddings)} items hold NaN or infinite values, "
            f"first in row {first}; compute them again or leave those items out"
        )
    if len(embeddings) < codebook_size:
        raise InputError(
            f"embeddings: {len(embeddings)} items are fewer than tokenizer.codebook_size {codebook_size}; "
            "lower the codebook size or give more items"
        )
    if alike:
        raise InputError(
            f"embeddings: all {len(embeddings)} items are alike; give items text, tags or embeddings "
            "that tell them apart"
        )
