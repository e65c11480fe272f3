"""TIGER-style: an encoder-decoder over semantic IDs that predicts one next item (arXiv 2305.05065).

memory = encoder(history, profile)
c_d ~ decoder([BOS, c_1 .. c_{d-1}], memory)

It knows no slate: every engaged item of a target slate is a next item of its own, and the most likely
next items are served as one. With `config.history_tokens: code` the encoder reads D tokens an event, as
published. Blocks and codes are HiGR's rather than T5's; the user token stands for TIGER's hashed user.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from higr.config import ModelConfig
from higr.model.embedding import CodeEmbedding
from higr.model.encoder import ContextEncoder
from higr.model.inputs import PADDING, ContextBatch, ProfileVocabulary
from higr.model.layers import Caches, Decoder
from higr.peers.onerec import Encoded, initialise


class Tiger(nn.Module):
    """The whole model.

    Args:
        config: sizes; the decoder has `planner_layers` + `generator_layers`.
        depth: D, codes an item.
        codebook_size: K.
        profiles: the profile fields it was trained with.
        tokenizer_id: `Tokenizer.id` of the tokenizer whose codes it speaks.
    """

    def __init__(
        self,
        config: ModelConfig,
        depth: int,
        codebook_size: int,
        profiles: ProfileVocabulary,
        tokenizer_id: str,
    ) -> None:
        super().__init__()
        self.config, self.depth, self.codebook_size = config, depth, codebook_size
        self.profiles, self.tokenizer_id = profiles, tokenizer_id
        self.embedding = CodeEmbedding(depth, codebook_size, config.width, config.pooling)
        self.encoder = ContextEncoder(config, profiles, depth)
        self.start = nn.Parameter(torch.zeros(config.width))  # BOS
        self.level_embedding = nn.Embedding(depth, config.width)
        self.decoder = Decoder(config.planner_layers + config.generator_layers, *config.block)
        self.head = nn.Parameter(torch.empty(depth, codebook_size, config.width))
        self.dropout = nn.Dropout(config.dropout)
        initialise(self)
        for parameter in (self.encoder.user_token, self.start, self.head):
            nn.init.normal_(parameter, std=0.02)

    def encode(self, batch: ContextBatch, codes: Tensor) -> Encoded:
        """Encode contexts once. codes: (N, D) int64, the catalogue's codes that `batch.items` points into."""
        memory, mask = self.encoder(batch, codes, self.embedding)
        return Encoded(mask, self.decoder.project(memory))

    def next_logits(self, context: Encoded, targets: Tensor) -> Tensor:
        """Teacher forcing of M independent next items: (B, M, D) codes -> (B, M, D, K) logits."""
        batch, count, depth = targets.shape
        start = self.start.expand(batch, count, 1, -1)
        x = torch.cat([start, self.embedding(targets)[:, :, :-1]], dim=2) + self.level_embedding.weight
        x = self.decoder(self.dropout(x.flatten(1, 2)), context.keys, context.mask, rows=count)
        return torch.einsum("bmdc,dkc->bmdk", x.unflatten(1, (count, depth)), self.head)

    def losses(
        self, contexts: ContextBatch, items: Tensor, codes: Tensor, smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Sum of cross-entropies over the codes of the target items, and how many were summed.

        Args:
            contexts: B contexts, each encoded once.
            items: (B, M) catalogue positions, PADDING behind the end; each is a target of its own.
            codes: (N, D) of the catalogue.
            smoothing: share of each target that is spread over all codes.
        """
        present = items != PADDING  # (B, M)
        targets = codes[items.clamp(min=0)]  # (B, M, D)
        logits = self.next_logits(self.encode(contexts, codes), targets)
        wanted = targets.masked_fill(~present[..., None], PADDING).flatten()
        total = F.cross_entropy(
            logits.flatten(0, 2), wanted, ignore_index=PADDING, label_smoothing=smoothing, reduction="sum"
        )
        return total, present.sum() * self.depth

    def step(
        self, context: Encoded, level: int, codes: Tensor | None, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        """Logits of the next code of W beams.

        Args:
            level: of the code to come, d - 1.
            codes: (B, W), the codes before it; None at level 0, where W is 1.
            caches: one a layer, of B * W sequences; None at level 0.

        Returns:
            (B, W, K), and the caches grown by the level.
        """
        if codes is None:
            x = self.start.expand(len(context.mask), 1, -1)
        else:
            x = self.embedding.level(level - 1, codes)
        x = x + self.level_embedding.weight[level]
        x, caches = self.decoder.step(x, context.keys, context.mask, caches)
        return x @ self.head[level].T, caches
