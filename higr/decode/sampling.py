"""Slates that explore: an item drawn from the beams of a position, with the probability it was drawn with.

At a share of the positions the item is drawn from the beams' own distribution, sharpened by a temperature
and cut to the likeliest that together reach `top_p` (nucleus sampling, arXiv 1904.09751); at the others it
is the best one, as without. So the propensity of what is shown is known exactly, given the items before:

    (1 - share) [item is the best] + share q(item)

The paper does not explore. What can be drawn is what the beam search ends in, W items a position.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from higr.errors import InputError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one request explores.

    Attributes:
        share: of positions at which the item is drawn; 0: none, 1: all.
        temperature: of the draw; towards 0 the best item, above 1 flatter than the model.
        top_p: least probability of what can be drawn; 1: all W items.
        diversity: nats that a beam loses for each better one with the same parent while the search
            lasts, so that beams spread (diverse decoding, arXiv 1611.08562); 0: none.
        seed: of this request's draws; the same request with the same seed gives the same slate.
    """

    share: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    diversity: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, sound, due in (
            ("share", 0 <= self.share <= 1, "0 to 1"),
            ("temperature", 1e-3 <= self.temperature <= 1e6, "0.001 to 1000000"),
            ("top_p", 1e-6 <= self.top_p <= 1, "0.000001 to 1"),
            ("diversity", 0 <= self.diversity <= 1e4, "0 to 10000"),
            ("seed", isinstance(self.seed, int) and 0 <= self.seed < 2**63, "an integer from 0 below 2**63"),
        ):
            if not sound:
                raise InputError(f"sampling: {name} {getattr(self, name)}; {due} is due")


NONE = Sampling(share=0.0)


@dataclass(frozen=True)
class Draws:
    """The sampling of B rows as tensors.

    Attributes:
        share, temperature, top_p, diversity: (B, 1).
        uniform: (B, M, 2) numbers in [0, 1): whether a position explores, and what it draws.
    """

    share: Tensor
    temperature: Tensor
    top_p: Tensor
    diversity: Tensor
    uniform: Tensor

    @classmethod
    def of(cls, samplings: Sequence[Sampling | None], positions: int) -> "Draws | None":
        """Of a batch of slates of at most M positions; None where no row explores.

        A row's numbers come from its own seed alone, so its slate does not depend on the batch.
        """
        if all(sampling is None for sampling in samplings):
            return None
        rows = [sampling or NONE for sampling in samplings]
        settings = torch.tensor([[row.share, row.temperature, row.top_p, row.diversity] for row in rows])
        drawn = [torch.rand(positions, 2, generator=torch.Generator().manual_seed(row.seed)) for row in rows]
        share, temperature, top_p, diversity = settings.split(1, dim=1)
        return cls(share, temperature, top_p, diversity, torch.stack(drawn))

    def pick(self, position: int, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Choose among the beams of a position.

        Args:
            scores: (B, W) log-probabilities, best first; -inf where there is no beam.

        Returns:
            (B,) index of the beam, and its (B,) propensity.
        """
        odds = self.odds(scores)
        explores, which = self.uniform[:, position].unbind(dim=1)
        last = (odds > 0).sum(dim=1, keepdim=True) - 1  # rounding may leave the sum a little below 1
        drawn = (odds.cumsum(dim=1) <= which[:, None]).sum(dim=1, keepdim=True).minimum(last.clamp(min=0))
        index = torch.where(explores[:, None] < self.share, drawn, 0)
        chosen = self.share * odds.gather(1, index) + (1 - self.share) * (index == 0)
        return index[:, 0], chosen[:, 0]

    def odds(self, scores: Tensor) -> Tensor:
        """(B, W) probabilities q of a draw from scores as in `pick`; a row without beams is zero."""
        odds = ((scores - scores[:, :1]) / self.temperature).softmax(dim=1).nan_to_num(0.0)
        before = odds.cumsum(dim=1) - odds
        odds = odds * (before < self.top_p)
        return odds / odds.sum(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
