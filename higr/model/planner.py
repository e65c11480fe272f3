"""The coarse slate planner: one preference embedding a position (arXiv 2512.24787, section 3.2)."""

import torch
from torch import Tensor, nn

from higr.config import ModelConfig
from higr.model.layers import Decoder, KeyValue


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
            items: (B, M - 1, C), embeddings of the items before each position but the first.

        Returns:
            (B, M, C), p_1 .. p_M.
        """
        start = self.start.expand(len(items), 1, -1)
        x = torch.cat([start, items], dim=1) + self.position_embedding.weight[: items.shape[1] + 1]
        return self.decoder(self.dropout(x), context, mask)

    def step(
        self,
        position: int,
        item: Tensor | None,
        context: list[KeyValue],
        mask: Tensor,
        caches: list[KeyValue] | None,
    ) -> tuple[Tensor, list[KeyValue]]:
        """The next position.

        Args:
            position: m - 1.
            item: (B, C) embedding of the item before it; None at the start.
            caches: one a layer; None at the start.

        Returns:
            (B, C), and the caches grown by the position.
        """
        x = self.start.expand(len(mask), -1) if item is None else item
        x = (x + self.position_embedding.weight[position])[:, None]  # (B, 1, C)
        x, caches = self.decoder.step(x, context, mask, caches)
        return x[:, 0], caches
