"""The one training loop: shuffled batches, AdamW, warm-up and cosine, clipping, early stopping."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from higr.errors import HigrError

Progress = Callable[[str, int, int], None]
"""(what is being done, steps done, steps in all)."""


def no_progress(label: str, done: int, total: int) -> None:
    """Report nothing."""


def train(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    count: int,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    warmup_share: float,
    clip_norm: float,
    seed: int,
    validate: Callable[[], float],
    patience: int,
    label: str,
    progress: Progress = no_progress,
) -> list[dict[str, Any]]:
    """Train in place and leave the model with the weights of its best validation loss, in eval mode.

    Args:
        loss: example indices (b,) to a scalar loss.
        count: examples in all; each is seen once an epoch, in an order drawn from `seed`.
        validate: called after each epoch in eval mode, without gradients; lower is better.

    Returns:
        One record an epoch: epoch, steps, train_loss (mean), validation_loss, best.

    Raises:
        HigrError: no examples, or a loss that is not finite.
    """
    if count == 0:
        raise HigrError(
            f"{label}: no training examples; look at the data report and lower min_engaged or use more data"
        )
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # dropout
    optimizer = torch.optim.AdamW(_groups(model, weight_decay), lr=learning_rate, betas=(0.9, 0.98))
    total = epochs * math.ceil(count / batch_size)
    warmup = max(1, int(warmup_share * total))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warmup_cosine(step, warmup, total))
    curve: list[dict[str, Any]] = []
    best, best_state, step = math.inf, copy.deepcopy(model.state_dict()), 0
    for epoch in range(1, epochs + 1):
        model.train()
        losses = []
        for batch in torch.randperm(count, generator=generator).split(batch_size):
            value = loss(batch)
            if not torch.isfinite(value):
                raise HigrError(
                    f"{label}: loss is {value.item()} at step {step + 1}; lower the learning rate"
                )
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
            schedule.step()
            losses.append(value.item())
            step += 1
            progress(label, step, total)
        model.eval()
        with torch.inference_mode():
            validation = validate()
        better = validation < best
        if better:
            best, best_state = validation, copy.deepcopy(model.state_dict())
        curve.append(
            {
                "epoch": epoch,
                "steps": step,
                "train_loss": sum(losses) / len(losses),
                "validation_loss": validation,
                "best": better,
            }
        )
        if epoch - max((r["epoch"] for r in curve if r["best"]), default=0) >= patience:
            break
    model.load_state_dict(best_state)
    model.eval()
    return curve


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
