"""The fine item generator: a plan to D codes (arXiv 2512.24787, section 3.2)."""

from typing import cast

import torch
from torch import Tensor, nn

from higr.config import ModelConfig
from higr.model.layers import Caches, Decoder, KeyValue

GeneratorContext = list[list[KeyValue]]
"""Keys and values of the context, one pair a layer, for each set of weights; empty pairs without context."""


class ItemGenerator(nn.Module):
    """c_d ~ generator([p_m, c_1 .. c_{d-1}], memory): the shallow part, run once a code.

    `config.generator_context` false: it sees the plan alone. `config.shared_generator` false: one set
    of weights a position, M of them; then no slate can be longer. Both are ablations of the paper.
    """

    def __init__(self, config: ModelConfig, depth: int, codebook_size: int) -> None:
        super().__init__()
        self.shared = config.shared_generator
        self.preference = nn.Linear(config.width, config.width, bias=False)
        self.level_embedding = nn.Embedding(depth, config.width)
        self.decoders = nn.ModuleList(
            Decoder(config.generator_layers, *config.block, cross=config.generator_context)
            for _ in range(1 if self.shared else config.max_slate_size)
        )
        self.head = nn.Parameter(torch.empty(depth, codebook_size, config.width))
        self.dropout = nn.Dropout(config.dropout)

    def project(self, memory: Tensor) -> GeneratorContext:
        """Keys and values of the context (B, S, C)."""
        return [self._decoder(which).project(memory) for which in range(len(self.decoders))]

    def forward(self, plans: Tensor, prefix: Tensor, context: GeneratorContext, mask: Tensor) -> Tensor:
        """Logits of all codes of all positions at once.

        Args:
            plans: (B * S, M, C). The S slates of a context are neighbours and share its keys and values.
            prefix: (B * S, M, D - 1, C), embeddings of the codes that are forced.

        Returns:
            (B * S, M, D, K).
        """
        x = torch.cat([self.preference(plans)[:, :, None], prefix], dim=2) + self.level_embedding.weight
        x, contexts, slates, width = self.dropout(x), len(mask), len(x) // len(mask), x.shape[-1]
        if self.shared:
            together = x.reshape(contexts, -1, width)  # (B, S * M * D, C)
            out = self.decoders[0](together, context[0], mask, rows=slates * x.shape[1]).reshape(x.shape)
        else:
            parts = [part.reshape(contexts, -1, width) for part in x.unbind(dim=1)]  # M of (B, S * D, C)
            parts = [self.decoders[m](part, context[m], mask, rows=slates) for m, part in enumerate(parts)]
            out = torch.stack([part.reshape(len(x), -1, width) for part in parts], dim=1)
        return torch.einsum("bmdc,dkc->bmdk", out, self.head)

    def step(
        self,
        position: int,
        level: int,
        x: Tensor,
        context: GeneratorContext,
        mask: Tensor,
        caches: Caches | None,
    ) -> tuple[Tensor, Caches]:
        """Logits of the next code of W beams.

        Args:
            position: m - 1.
            level: d - 1.
            x: (B, W, C), the plan at level 0, else embeddings of the codes just chosen.
            caches: one a layer, of B * W sequences; None at level 0.

        Returns:
            (B, W, K), and the caches grown by the level.
        """
        which = 0 if self.shared else position
        x = (self.preference(x) if level == 0 else x) + self.level_embedding.weight[level]
        x, caches = self._decoder(which).step(x, context[which], mask, caches)
        return x @ self.head[level].T, caches

    def _decoder(self, which: int) -> Decoder:
        return cast(Decoder, self.decoders[which])
