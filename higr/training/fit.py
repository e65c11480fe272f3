"""Training of any slate model: HiGR and those it is compared with."""

import inspect
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from higr.config import TrainingConfig
from higr.errors import InputError
from higr.model.inputs import ContextBatch
from higr.progress import Progress, no_progress
from higr.training.batches import InMemory, Source
from higr.training.checkpoint import model_identity
from higr.training.examples import Examples
from higr.training.loop import train


class Trainable(Protocol):
    """What an `nn.Module` must have beside its parameters."""

    def losses(self, contexts: ContextBatch, items: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing on target slates. With ddp or fsdp every parameter takes part in every batch.

        Args:
            contexts: B contexts.
            items: (B, M) catalogue positions, PADDING behind the end; a row may be PADDING altogether.
            codes: (N, D) the catalogue's codes.

        Returns:
            The sum of the losses, and the number of things predicted, both scalars.
        """


def fit(
    model: Trainable,
    data: Examples | Source,
    validation: Examples | None,
    codes: Tensor,
    settings: TrainingConfig,
    seed: int,
    *,
    directory: Path | None = None,
    label: str = "pretrain",
    progress: Progress = no_progress,
) -> list[dict[str, Any]]:
    """Train a `Trainable` in place: `higr.training.loop.train` has the details.

    Args:
        data: in memory, or `higr.training.shards.Shards`; the order is the same.
        validation: dealt to as many shards as `data`. None or empty: all epochs run and the last weights
            are kept.
        codes: (N, D) int64, the catalogue's codes.
        settings: `label_smoothing` needs a model whose `losses` takes `smoothing`.

    Raises:
        InputError: label smoothing for a model that has none.
    """
    smooths = "smoothing" in inspect.signature(type(model).losses).parameters
    if settings.label_smoothing and not smooths:
        raise InputError(
            f"label_smoothing is {settings.label_smoothing}, but {type(model).__name__} has none; set it to 0"
        )
    source = InMemory(data, settings.shards) if isinstance(data, Examples) else data
    held_out = InMemory(validation, source.shards) if validation is not None and len(validation) else None
    return train(
        _Slates(model, codes, settings.label_smoothing),
        source,
        held_out,
        settings,
        seed=seed,
        label=label,
        extra=model_identity(model, codes),
        directory=directory,
        progress=progress,
    )


class _Slates(nn.Module):
    """A model's losses as a forward pass, which is what DDP and FSDP watch."""

    model: Any  # nn.Module would hide `losses`
    codes: Tensor

    def __init__(self, model: Trainable, codes: Tensor, smoothing: float) -> None:
        super().__init__()
        self.model, self.smoothing = model, smoothing
        self.register_buffer("codes", codes, persistent=False)

    def forward(self, batch: Examples) -> tuple[Tensor, Tensor]:
        smoothing = {"smoothing": self.smoothing} if self.training and self.smoothing else {}
        return self.model.losses(batch.contexts, batch.targets.items, self.codes, **smoothing)
