"""Listwise alignment of a pretrained model, without a reference model (arXiv 2512.24787, section 3.3)."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from higr.align.losses import orpo_loss
from higr.align.pairs import Pairs, build_pairs
from higr.catalog import Catalog
from higr.config import RunConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.model.higr import Context, HiGR
from higr.model.inputs import ContextBatch, encode_contexts
from higr.training.loop import Progress, no_progress, train
from higr.training.targets import PADDING


def align(
    model: HiGR,
    data: PreparedData,
    history: HistoryIndex,
    catalog: Catalog,
    codebooks: Tensor,
    config: RunConfig,
    progress: Progress = no_progress,
) -> list[dict[str, Any]]:
    """Align in place on pairs from the training slates of `user_share` of the users.

    Args:
        codebooks: (D, K, latent) of the tokenizer: what "similar" means to the diversity negative.

    Returns:
        The curve of `higr.training.loop.train`; its first record also holds the counts of pairs.
    """
    settings, codes = config.align, catalog.code_tensor
    slates = _of_some_users(data.split("train"), settings.user_share, config.seed)
    pairs, contexts = _pairs(slates, history, catalog, codebooks, model, config)
    held_out, held_out_contexts = _pairs(data.split("validation"), history, catalog, codebooks, model, config)

    def loss(rows: Tensor) -> Tensor:
        return _loss(model, contexts, pairs, rows, codes, settings.alpha)[0]

    def validate() -> float:
        sums = [
            _loss(model, held_out_contexts, held_out, rows, codes, settings.alpha)[0].item() * len(rows)
            for rows in torch.arange(len(held_out)).split(settings.batch_size)
        ]
        return sum(sums) / len(held_out)

    curve = train(
        model,
        loss,
        len(pairs),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=config.training.weight_decay,
        warmup_share=config.training.warmup_share,
        clip_norm=config.training.clip_norm,
        seed=config.seed,
        validate=validate if len(held_out) else None,
        patience=settings.epochs,
        label="align",
        progress=progress,
    )
    curve[0]["pairs"] = pairs.counts
    return curve


def code_log_probs(model: HiGR, context: Context, items: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of every code of every slate.

    Args:
        items: (B, M) catalogue positions, PADDING behind the end.
        codes: (N, D).

    Returns:
        (B, M * D) log-probabilities and the mask of those that count.
    """
    slates = codes[items.clamp(min=0)]  # (B, M, D)
    log_probs = model.slate_logits(context, slates).log_softmax(dim=-1)
    taken = log_probs.gather(-1, slates[..., None])[..., 0]  # (B, M, D)
    mask = (items != PADDING)[..., None].expand_as(taken)
    return taken.flatten(1), mask.flatten(1)


def _loss(
    model: HiGR, contexts: ContextBatch, pairs: Pairs, rows: Tensor, codes: Tensor, alpha: float
) -> tuple[Tensor, Tensor]:
    context = model.encode(contexts[rows], codes)
    chosen, mask = code_log_probs(model, context, pairs.chosen[rows], codes)
    rejected, _ = code_log_probs(model, context, pairs.rejected[rows], codes)
    return orpo_loss(chosen, rejected, mask, alpha)


def _pairs(
    slates: pa.Table,
    history: HistoryIndex,
    catalog: Catalog,
    codebooks: Tensor,
    model: HiGR,
    config: RunConfig,
) -> tuple[Pairs, ContextBatch]:
    pairs = build_pairs(slates, catalog, codebooks, config.align, config.training, config.seed)
    contexts = history.contexts(slates.take(pa.array(pairs.rows.numpy())))
    return pairs, encode_contexts(contexts, catalog, model.profiles, model.config)


def _of_some_users(slates: pa.Table, share: float, seed: int) -> pa.Table:
    if share == 1:
        return slates
    users = sorted(set(slates["user_id"].to_pylist()))
    count = max(1, round(share * len(users)))
    chosen = np.random.default_rng(seed).choice(len(users), count, replace=False)
    return slates.filter(pc.is_in(slates["user_id"], pa.array([users[i] for i in sorted(chosen)])))
