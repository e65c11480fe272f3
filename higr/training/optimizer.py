"""AdamW with warm-up and cosine; none of it is reported by the paper."""

import math
from typing import Any

import torch
from torch import nn

from higr.config import TrainingConfig


def build_optimizer(model: nn.Module, settings: TrainingConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        _groups(model, settings.weight_decay), lr=settings.learning_rate, betas=(0.9, 0.98), fused=True
    )


def set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: TrainingConfig, step: int, total: int
) -> float:
    """Give step `step` of `total`, from 0, its rate: a function of the step, so there is no state to keep."""
    rate = settings.learning_rate * _warmup_cosine(step, max(1, int(settings.warmup_share * total)), total)
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def _warmup_cosine(step: int, warmup: int, total: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; norms, biases and embeddings do not."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    decayed = [p for p in model.parameters() if p.ndim >= 2 and id(p) not in embeddings]
    kept = [p for p in model.parameters() if p.ndim < 2 or id(p) in embeddings]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
