"""The coarse slate planner: one preference embedding a position (arXiv 2512.24787, section 3.2)."""

import torch
from torch import Tensor, nn

from higr.config import ModelConfig
from higr.model.layers import Caches, Decoder, KeyValue


class SlatePlanner(nn.Module):
    """p_m = planner([BOS, i_1 .. i_{m-1}], memory): the deep part, run once an item."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(config.width))
        self.position_embedding = nn.Embedding(config.max_slate_size, config.width)
        self.decoder = Decoder(config.planner_layers, *config.block)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, items: Tensor, context: list[KeyValue], mask: Tensor) -> Tensor:
        """All positions at once.

        Args:
            items: (B * S, M - 1, C), embeddings of the items before each position but the first. The S
                slates of a context are neighbours and share its keys and values.

        Returns:
            (B * S, M, C), p_1 .. p_M.
        """
        start = self.start.expand(len(items), 1, -1)
        x = torch.cat([start, items], dim=1) + self.position_embedding.weight[: items.shape[1] + 1]
        together = self.dropout(x).reshape(len(mask), -1, x.shape[-1])  # (B, S * M, C)
        return self.decoder(together, context, mask, rows=len(items) // len(mask)).reshape(x.shape)

    def step(
        self,
        position: int,
        item: Tensor | None,
        context: list[KeyValue],
        mask: Tensor,
        caches: Caches | None,
    ) -> tuple[Tensor, Caches]:
        """The next position.

        Args:
            position: m - 1.
            item: (B * S, C) embedding of the item before it, S slates a context; None at the start of one.
            caches: one a layer, of B * S sequences; None at the start.

        Returns:
            (B * S, C), and the caches grown by the position.
        """
        x = self.start.expand(len(mask), -1) if item is None else item
        x = (x + self.position_embedding.weight[position]).unflatten(0, (len(mask), -1))  # (B, S, C)
        x, caches = self.decoder.step(x, context, mask, caches)
        return x.flatten(0, 1), caches
