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
    validate: Callable[[], float] | None,
    patience: int,
    label: str,
    progress: Progress = no_progress,
) -> list[dict[str, Any]]:
    """Train in place and leave the model with the weights of its best validation loss, in eval mode.

    The weights it starts from take part: training that only makes things worse changes nothing.

    Args:
        loss: example indices (b,) to a scalar loss.
        count: examples in all; each is seen once an epoch, in an order drawn from `seed`.
        validate: called before the first and after each epoch in eval mode, without gradients; lower is
            better. None, where nothing was held out: all epochs run and the last weights are kept.

    Returns:
        One record an epoch, epoch 0 being the start: epoch, steps, train_loss (mean; None at the start),
        validation_loss (None without validation), best.

    Raises:
        HigrError: no examples, or a loss that is not finite, in training or in validation.
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
    start = _validation(model, validate, label)
    curve: list[dict[str, Any]] = [_record(0, 0, None, start, True)]
    best, best_state, step = start, copy.deepcopy(model.state_dict()), 0
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
        validation = _validation(model, validate, label)
        better = validation is None or best is None or validation < best
        if better:
            best, best_state = validation, copy.deepcopy(model.state_dict())
        curve.append(_record(epoch, step, sum(losses) / len(losses), validation, better))
        if epoch - max(record["epoch"] for record in curve if record["best"]) >= patience:
            break
    model.load_state_dict(best_state)
    model.eval()
    return curve


def _validation(model: nn.Module, validate: Callable[[], float] | None, label: str) -> float | None:
    if validate is None:
        return None
    model.eval()
    with torch.inference_mode():
        value = validate()
    if not math.isfinite(value):
        raise HigrError(f"{label}: validation loss is {value}; lower the learning rate")
    return value


def _record(
    epoch: int, steps: int, train_loss: float | None, validation_loss: float | None, best: bool
) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "steps": steps,
        "train_loss": train_loss,
        "validation_loss": validation_loss,
        "best": best,
    }


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
