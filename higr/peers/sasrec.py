"""SASRec: causal self-attention over item ids, one next item (Kang and McAuley, arXiv 1808.09781).

It knows items by their ids alone and a user by the engaged items of the history: no profile, no semantic
IDs, no item that came after training. Where the paper draws one negative an item and takes a binary
loss, this one takes the softmax over the whole catalogue, which is known to make it a stronger opponent
(arXiv 2309.07602) and is affordable up to about 100,000 items; larger catalogues would need it sampled.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from higr.config import ModelConfig
from higr.data.schemas import Feedback
from higr.model.inputs import PADDING, ContextBatch, ProfileVocabulary


class SASRec(nn.Module):
    """The whole model. Its items are those of one catalogue, in the catalogue's order.

    Args:
        config: sizes; `encoder_layers` are its blocks, `feedforward` the inner width of theirs.
        catalog_size: N.
    """

    def __init__(self, config: ModelConfig, catalog_size: int) -> None:
        super().__init__()
        self.config, self.catalog_size = config, catalog_size
        self.profiles = ProfileVocabulary({})
        self.item_embedding = nn.Embedding(catalog_size + 1, config.width)  # the last row is no item
        self.position_embedding = nn.Embedding(config.history_length, config.width)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.feedforward, config.dropout)
            for _ in range(config.encoder_layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def engaged(self, contexts: ContextBatch) -> Tensor:
        """(B, H) int64 engaged items, newest last, N on the left of them."""
        there = (contexts.items != PADDING) & (contexts.feedback >= int(Feedback.ENGAGED))
        order = there.int().argsort(dim=1, stable=True)
        return contexts.items.long().masked_fill(~there, self.catalog_size).gather(1, order)

    def forward(self, history: Tensor) -> Tensor:
        """(B, H) items, N where there is none -> (B, H, C): what comes after each of them."""
        there = history != self.catalog_size
        length = history.shape[1]
        itself = torch.eye(length, dtype=torch.bool, device=history.device)
        keep = (there[:, None] & itself.logical_not().tril()) | itself  # (B, H, H)
        x = self.item_embedding(history) * self.config.width**0.5 + self.position_embedding.weight
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, keep)
        return self.norm(x)

    def scores(self, hidden: Tensor) -> Tensor:
        """(..., C) -> (..., N) logits of all items."""
        return hidden @ self.item_embedding.weight[:-1].T

    def losses(
        self, contexts: ContextBatch, items: Tensor, codes: Tensor, smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Sum of cross-entropies over the catalogue, and how many were summed.

        Targets are the slate's items, all of them after the newest engaged item; in training also each
        engaged item of the history after those before it, as published. Not in evaluation: these were
        trained on with the slates before, and a loss that holds them would not tell overfitting. A
        context without any item in its slate adds nothing.

        Args:
            contexts: B contexts.
            items: (B, M) catalogue positions, PADDING behind the end.
            codes: not looked at.
            smoothing: share of each target that is spread over all items.
        """
        history = self.engaged(contexts)
        hidden = self(history)
        present = items != PADDING  # (B, M)
        log_probs = self.scores(hidden[:, -1]).log_softmax(dim=-1)  # (B, N)
        taken = log_probs.gather(1, items.clamp(min=0)) * (1 - smoothing)
        if smoothing:
            taken = taken + smoothing * log_probs.mean(dim=1, keepdim=True)
        total, count = -taken[present].sum(), present.sum()
        if self.training:
            after = (history[:, :-1] != self.catalog_size) & present.any(dim=1, keepdim=True)
            following = history[:, 1:][after]  # an item, too: behind the first there are only items
            logits = self.scores(hidden[:, :-1][after])
            total = total + F.cross_entropy(logits, following, label_smoothing=smoothing, reduction="sum")
            count = count + len(following)
        return total, count


class Block(nn.Module):
    """h = x + attn(norm(x)); out = h + ffn(norm(h)), ffn with a ReLU as published."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attn_norm, self.ffn_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """x: (B, T, C); keep: (B, T, T) bool, true where a position looks at another."""
        normed = self.attn_norm(x)
        q, k, v = (
            project(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q, self.k, self.v)
        )
        attended = F.scaled_dot_product_attention(
            q, k, v, attn_mask=keep[:, None], dropout_p=self.dropout.p if self.training else 0.0
        )
        x = x + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.down(self.dropout(F.relu(self.up(self.ffn_norm(x))))))
