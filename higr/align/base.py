"""What all objectives of alignment share: a model, figures, the likelihood of several slates a context."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from higr.model.higr import Context, HiGR
from higr.training.examples import Examples
from higr.training.targets import PADDING

T = TypeVar("T")


class Shared(Generic[T]):
    """What never changes: copies of an objective share it, and it is no part of the state."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Objective(nn.Module, ABC):
    """The losses of a batch of examples, and figures of how alignment goes.

    Args:
        model: is trained.
        codes: (N, D) int64, the catalogue's.
    """

    codes: Tensor

    def __init__(self, model: HiGR, codes: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("codes", codes, persistent=False)
        self._sums: dict[bool, dict[str, Tensor]] = {}

    @property
    def models(self) -> tuple[HiGR, ...]:
        """Every model that it holds in memory."""
        return (self.model,)

    @abstractmethod
    def forward(self, batch: Examples) -> tuple[Tensor, Tensor]:
        """The sum of the losses and the number of pairs (F-GRPO: of contexts), both scalars.

        `targets.items` is (B, 2, M): chosen and rejected, PADDING behind the end. A row of PADDING alone
        adds to neither.
        """

    def take(self) -> dict[str, float]:
        """Means of the figures since the last call, of this process's part; none of them if nothing was seen.

        Batches seen in training and in eval mode are counted apart: these are of the mode it is in.
        """
        sums = self._sums.pop(self.training, {})
        values = torch.stack(list(sums.values())).tolist() if sums else [0.0]
        count, *totals = values
        return dict(zip(list(sums)[1:], (total / count for total in totals), strict=True)) if count else {}

    def _note(self, present: Tensor, figures: Mapping[str, Tensor]) -> None:
        """Add (B,) figures of the rows that are present (B,); nothing here waits for an accelerator."""
        with torch.no_grad():
            found = {"count": present.double().sum()}
            found |= {name: (value.double() * present).sum() for name, value in figures.items()}
            sums = self._sums.setdefault(self.training, {})
            for name, value in found.items():
                sums[name] = sums[name] + value if name in sums else value


def code_log_probs(
    model: HiGR, context: Context, items: Tensor, codes: Tensor, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probability of every code of S slates a context, which is neither encoded nor copied again.

    Args:
        context: of B contexts.
        items: (B, S, M) catalogue positions, PADDING behind the end.
        codes: (N, D).
        allowed: (B, S, M, D, K) bool, the codes that probability is spread over; None: all.

    Returns:
        (B, S, M * D) float32, and the mask of those that count.
    """
    if not model.generator.shared:  # all of them take part in every batch
        more = model.config.max_slate_size - items.shape[2]
        items = F.pad(items, (0, more), value=PADDING)
        allowed = None if allowed is None else F.pad(allowed, (0, 0, 0, 0, 0, more), value=True)
    slates = codes[items.clamp(min=0)]  # (B, S, M, D)
    logits = model.slate_logits(context, slates.flatten(0, 1)).float()  # (B * S, M, D, K)
    if allowed is not None:
        logits = logits.masked_fill(~allowed.flatten(0, 1), -torch.inf)
    taken = -F.cross_entropy(logits.flatten(0, 2), slates.flatten(), reduction="none")
    mask = (items != PADDING)[..., None].expand_as(slates)
    return taken.view_as(slates).flatten(2), mask.flatten(2)
