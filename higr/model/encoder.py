"""The context encoder: history and user, read once a request (arXiv 2512.24787, section 3.2)."""

import torch
from torch import Tensor, nn

from higr.config import ModelConfig
from higr.data.schemas import Feedback
from higr.model.embedding import CodeEmbedding
from higr.model.inputs import PADDING, ContextBatch, ProfileVocabulary
from higr.model.layers import EncoderBlock, norm


class ContextEncoder(nn.Module):
    """Tokens of a context: the user, the profile where it has tokens of its own, then the history.

    What a token of the history says beside the item, how it was received and how long ago, is not
    reported by the paper.
    """

    def __init__(self, config: ModelConfig, profiles: ProfileVocabulary, depth: int) -> None:
        super().__init__()
        self.config, self.depth = config, depth
        self.feedback_embedding = nn.Embedding(len(Feedback), config.width)
        self.recency_embedding = nn.Embedding(config.history_length, config.width)
        self.profile_embedding = nn.Embedding(max(1, profiles.size), config.width)
        self.user_token = nn.Parameter(torch.zeros(config.width))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(EncoderBlock(*config.block) for _ in range(config.encoder_layers))
        self.norm = norm(config.width)

    def forward(self, batch: ContextBatch, codes: Tensor, embedding: CodeEmbedding) -> tuple[Tensor, Tensor]:
        """Encode contexts.

        Args:
            batch: B contexts of H events.
            codes: (N, D) int64, the catalogue's codes that `batch.items` points into.

        Returns:
            (B, S, C) memory and (B, S) bool, false where it is padding. S is 1 + H, with
            `history_tokens: code` 1 + D * H, with `profile_tokens: field` longer by the fields.
        """
        tokens, mask = self.tokens(batch, codes, embedding)
        memory = self.dropout(tokens)
        for block in self.blocks:
            memory = block(memory, mask)
        return self.norm(memory), mask

    def tokens(self, batch: ContextBatch, codes: Tensor, embedding: CodeEmbedding) -> tuple[Tensor, Tensor]:
        """What the blocks read: (B, S, C), and the mask that `forward` returns."""
        history, present = self._history(batch, codes, embedding)
        user = self._user(batch)
        mask = torch.cat([present.new_ones(user.shape[:2]), present], dim=1)
        return torch.cat([user, history], dim=1), mask

    def _user(self, batch: ContextBatch) -> Tensor:
        """(B, 1, C), or (B, 1 + P, C) where every field of the profile is a token."""
        fields = self.profile_embedding(batch.profile.long())  # (B, P, C)
        if self.config.profile_tokens == "field":
            return torch.cat([self.user_token.expand(len(batch), 1, -1), fields], dim=1)
        return (self.user_token + fields.sum(dim=1))[:, None]

    def _history(self, batch: ContextBatch, codes: Tensor, embedding: CodeEmbedding) -> tuple[Tensor, Tensor]:
        """(B, T, C) and (B, T) bool; T is H, or D * H where every code is a token."""
        present = batch.items != PADDING  # (B, H)
        chosen = codes[batch.items.clamp(min=0).long()]  # (B, H, D)
        event = self.feedback_embedding(batch.feedback.long()) + self.recency_embedding.weight  # (B, H, C)
        if self.config.history_tokens == "item":
            return embedding.items(chosen) + event, present
        tokens = embedding(chosen) + event[:, :, None]  # (B, H, D, C)
        return tokens.flatten(1, 2), present.repeat_interleave(self.depth, dim=1)
