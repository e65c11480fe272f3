"""A feed-forward of experts, as OneRec's decoder has it (arXiv 2502.18965): each token goes to a few.

The experts of a layer are one wide SwiGLU in equal parts; a part that a token does not go to has weight
0 for it. All parts are computed: at the sizes compared here, where all experts together are as large
as one dense feed-forward, sorting tokens by expert would cost more than it saves.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from higr.config import ExpertsConfig


class MixtureOfExperts(nn.Module):
    """Token-choice routing: softmax over the k highest router logits of each token."""

    def __init__(self, width: int, config: ExpertsConfig) -> None:
        super().__init__()
        self.count, self.chosen, inner = config.count, config.chosen, config.count * config.feedforward
        self.router = nn.Linear(width, self.count, bias=False)
        self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, width, bias=False)
        self._routed: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C). In training it keeps the routing until `balance` asks for it."""
        logits = self.router(x)  # (..., E)
        best, experts = logits.topk(self.chosen, dim=-1)
        weights = torch.zeros_like(logits).scatter(-1, experts, best.softmax(dim=-1))
        hidden = F.silu(self.gate(x)) * self.up(x)
        parts = hidden.unflatten(-1, (self.count, -1)) * weights[..., None]  # (..., E, inner / E)
        if self.training:
            self._routed = logits, experts
        return self.down(parts.flatten(-2))

    def balance(self, present: Tensor) -> Tensor:
        """E * sum_e f_e * P_e of the last forward pass in training: 1 where experts are used alike.

        f_e is the share of choices that fell on expert e, P_e its mean probability (arXiv 2101.03961,
        equation 4); OneRec does not say how it balances. Both shares are of the tokens of this forward
        pass: those of one process's part of a batch. Their product is no sum over tokens, so with other
        processes or another `training.accumulation` it is another loss: means over fewer tokens.

        Args:
            present: (...) bool, tokens that count: x without its last axis; where none does, it is 0.

        Raises:
            RuntimeError: no forward pass in training since the last call.
        """
        if self._routed is None:
            raise RuntimeError("balance: run a forward pass in training mode first")
        (logits, experts), self._routed = self._routed, None
        weight = present.flatten()[:, None] / present.sum().clamp(min=1)
        choices = F.one_hot(experts, self.count).sum(dim=-2) / self.chosen  # (..., E)
        probability = (logits.softmax(dim=-1).flatten(0, -2) * weight).sum(dim=0)  # (E,)
        return self.count * (probability * (choices.flatten(0, -2) * weight).sum(dim=0)).sum()
