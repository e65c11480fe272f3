"""Pretraining: next-code cross-entropy with teacher forcing (arXiv 2512.24787, section 3.2)."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.nn import functional as F

from higr.catalog import Catalog
from higr.config import RunConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.model.higr import HiGR
from higr.model.inputs import ContextBatch, ProfileVocabulary, encode_contexts
from higr.training.loop import Progress, no_progress, train
from higr.training.targets import PADDING, Targets, build_targets


@dataclass(frozen=True)
class Examples:
    """Attributes:
    contexts: one row a target.
    targets: what to generate.
    """

    contexts: ContextBatch
    targets: Targets

    def __len__(self) -> int:
        return len(self.targets)


def build_examples(
    slates: pa.Table, history: HistoryIndex, catalog: Catalog, profiles: ProfileVocabulary, config: RunConfig
) -> Examples:
    """Targets of `slates` with the contexts strictly before them."""
    targets = build_targets(slates, catalog, config.training)
    contexts = history.contexts(slates.take(pa.array(targets.rows.numpy())))
    return Examples(encode_contexts(contexts, catalog, profiles, config.model), targets)


def slate_loss(
    model: HiGR, contexts: ContextBatch, items: Tensor, codes: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy over the codes of the target items.

    Args:
        contexts: B contexts.
        items: (B, M) catalogue positions, PADDING behind the end.
        codes: (N, D) the catalogue's codes.
    """
    present = items != PADDING  # (B, M)
    slates = codes[items.clamp(min=0)]  # (B, M, D)
    logits = model(contexts, codes, slates)  # (B, M, D, K)
    return F.cross_entropy(
        logits[present].flatten(0, 1), slates[present].flatten(), label_smoothing=smoothing
    )


def pretrain(
    data: PreparedData,
    history: HistoryIndex,
    catalog: Catalog,
    config: RunConfig,
    progress: Progress = no_progress,
) -> tuple[HiGR, list[dict[str, Any]]]:
    """Train a model on the training slates, watched on the validation slates.

    Returns:
        The model in eval mode, and the curve of `higr.training.loop.train`.
    """
    settings = config.training
    trained_on = pc.unique(data.train_events["user_id"]).to_pylist()
    profiles = ProfileVocabulary.fit(history.profiles[history.users[user]] for user in trained_on)
    torch.manual_seed(config.seed)
    model = HiGR(config.model, catalog.depth, catalog.codebook_size, profiles, catalog.tokenizer_id)
    examples = build_examples(data.split("train"), history, catalog, profiles, config)
    held_out = build_examples(data.split("validation"), history, catalog, profiles, config)
    codes = catalog.code_tensor

    def loss(rows: Tensor) -> Tensor:
        return slate_loss(
            model, examples.contexts[rows], examples.targets.items[rows], codes, settings.label_smoothing
        )

    curve = train(
        model,
        loss,
        len(examples),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_share=settings.warmup_share,
        clip_norm=settings.clip_norm,
        seed=config.seed,
        validate=(lambda: mean_loss(model, held_out, codes, settings.batch_size)) if len(held_out) else None,
        patience=settings.patience,
        label="pretrain",
        progress=progress,
    )
    return model, curve


def mean_loss(model: HiGR, examples: Examples, codes: Tensor, batch_size: int) -> float:
    """`slate_loss` over all examples, weighted by their codes."""
    total, weight = 0.0, 0
    for rows in torch.arange(len(examples)).split(batch_size):
        items = examples.targets.items[rows]
        count = int((items != PADDING).sum())
        total += slate_loss(model, examples.contexts[rows], items, codes).item() * count
        weight += count
    return total / weight
