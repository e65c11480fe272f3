"""Listwise alignment of a pretrained model, without a reference model (arXiv 2512.24787, section 3.3)."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from higr.align.losses import orpo_loss
from higr.align.pairs import Pairs, build_pairs
from higr.catalog import Catalog
from higr.config import RunConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.model.higr import Context, HiGR
from higr.model.inputs import encode_contexts
from higr.training.batches import InMemory
from higr.training.checkpoint import model_identity, named
from higr.training.examples import Examples
from higr.training.loop import Progress, no_progress, train
from higr.training.targets import PADDING, Targets


def align(
    model: HiGR,
    data: PreparedData,
    history: HistoryIndex,
    catalog: Catalog,
    codebooks: Tensor,
    config: RunConfig,
    progress: Progress = no_progress,
    directory: Path | None = None,
) -> list[dict[str, Any]]:
    """Align in place on pairs from the training slates of `user_share` of the users.

    Args:
        codebooks: (D, K, latent) of the tokenizer: what "similar" means to the diversity negative.
        directory: of checkpoints and the curve of steps; None: nothing is written.

    Returns:
        The curve of `higr.training.loop.train`; its first record also holds the counts of pairs.
    """
    settings = config.align
    slates = _of_some_users(data.split("train"), settings.user_share, config.seed)
    pairs, examples = _pairs(slates, history, catalog, codebooks, model, config)
    _, held_out = _pairs(data.split("validation"), history, catalog, codebooks, model, config)
    curve = train(
        _Pairs(model, catalog.code_tensor, settings.alpha),
        InMemory(examples, config.training.shards),
        InMemory(held_out, config.training.shards) if len(held_out) else None,
        config.training.model_copy(
            update={
                "epochs": settings.epochs,
                "batch_size": settings.batch_size,
                "learning_rate": settings.learning_rate,
                "patience": settings.epochs,
            }
        ),
        seed=config.seed,
        label="align",
        extra={**model_identity(model, catalog.code_tensor), **named({"align": settings})},
        directory=directory,
        progress=progress,
    )
    curve[0]["pairs"] = pairs.counts
    return curve


class _Pairs(nn.Module):
    """The losses of pairs of slates, (B, 2, M) in `targets.items`: the chosen one, then the rejected one."""

    codes: Tensor

    def __init__(self, model: HiGR, codes: Tensor, alpha: float) -> None:
        super().__init__()
        self.model, self.alpha = model, alpha
        self.register_buffer("codes", codes, persistent=False)

    def forward(self, batch: Examples) -> tuple[Tensor, Tensor]:
        """(sum over the pairs, pairs)."""
        codes, (chosen, rejected) = self.codes, batch.targets.items.unbind(dim=1)
        context = self.model.encode(batch.contexts, codes)
        likely, mask = code_log_probs(self.model, context, chosen, codes)
        unlikely, _ = code_log_probs(self.model, context, rejected, codes)
        losses, _ = orpo_loss(likely, unlikely, mask, self.alpha)
        return losses.sum(), mask.any(dim=1).sum()


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


def _pairs(
    slates: pa.Table,
    history: HistoryIndex,
    catalog: Catalog,
    codebooks: Tensor,
    model: HiGR,
    config: RunConfig,
) -> tuple[Pairs, Examples]:
    """Pairs, and the examples made of them: (T, 2, M) items, chosen and rejected."""
    pairs = build_pairs(slates, catalog, codebooks, config.align.preference, config.training, config.seed)
    contexts = history.contexts(slates.take(pa.array(pairs.rows.numpy())))
    targets = Targets(pairs.rows, torch.stack([pairs.chosen, pairs.rejected], dim=1))
    return pairs, Examples(encode_contexts(contexts, catalog, model.profiles, model.config), targets)


def _of_some_users(slates: pa.Table, share: float, seed: int) -> pa.Table:
    if share == 1:
        return slates
    users = sorted(set(slates["user_id"].to_pylist()))
    count = max(1, round(share * len(users)))
    chosen = np.random.default_rng(seed).choice(len(users), count, replace=False)
    return slates.filter(pc.is_in(slates["user_id"], pa.array([users[i] for i in sorted(chosen)])))
