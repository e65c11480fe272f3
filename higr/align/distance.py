"""How far a model has moved from itself: the KL divergence of next-code distributions.

The distributions at the start are kept, so no second model is in memory. Of each the `TOP` most probable
codewords are kept apart and all others as one: exact where K is at most `TOP`, else a lower bound (data
processing inequality), which misses only what moves among the codewords that were improbable.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TOP = 64


@dataclass(frozen=True)
class Start:
    """T next-code distributions.

    Attributes:
        codewords: (T, n) int16, the most probable first, n = min(TOP, K).
        log_probs: (T, n) float32, theirs.
        rest: (T,) float32 log-probability of all other codewords together, -inf where there are none.
    """

    codewords: Tensor
    log_probs: Tensor
    rest: Tensor

    @classmethod
    def of(cls, log_probs: Tensor) -> "Start":
        """(T, K) log-probabilities, K at most 8192."""
        kept, codewords = log_probs.topk(min(TOP, log_probs.shape[1]), dim=1)
        return cls(codewords.to(torch.int16), kept, _rest(log_probs, codewords))

    @classmethod
    def concatenate(cls, parts: list["Start"]) -> "Start":
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.rest)

    def __getitem__(self, rows: slice) -> "Start":
        return Start(self.codewords[rows], self.log_probs[rows], self.rest[rows])

    @property
    def bytes(self) -> int:
        """6 n + 4 a distribution: 2.9 MB for 500 slates of five items of three codes, at K of 64 and more."""
        return sum(
            tensor.numel() * tensor.element_size() for tensor in (self.codewords, self.log_probs, self.rest)
        )

    def divergence(self, log_probs: Tensor) -> Tensor:
        """(T, K) log-probabilities now -> (T,) KL(start || now), nats."""
        codewords = self.codewords.long()
        kept = (self.log_probs.exp() * (self.log_probs - log_probs.gather(1, codewords))).sum(dim=1)
        rest = self.rest.exp() * (self.rest - _rest(log_probs, codewords))
        return kept + torch.where(self.rest > -torch.inf, rest, 0.0)


def _rest(log_probs: Tensor, codewords: Tensor) -> Tensor:
    return log_probs.scatter(1, codewords, -torch.inf).logsumexp(dim=1)
