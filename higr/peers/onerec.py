"""OneRec-style: one decoder over the flat codes of the whole slate (arXiv 2502.18965).

memory = encoder(history, profile)                                as HiGR's
c_d of item m ~ decoder([BOS, codes of item 1, .. BOS, codes of item m before d], memory)

Every code is a heavy step, where HiGR takes one a item. Context, codes and blocks are HiGR's, so that
what differs is the flat decoder: the published model's own features and its reward model are left out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from higr.config import ExpertsConfig, ModelConfig
from higr.model.embedding import CodeEmbedding
from higr.model.encoder import ContextEncoder
from higr.model.inputs import PADDING, ContextBatch, ProfileVocabulary
from higr.model.layers import Caches, Decoder, KeyValue
from higr.peers.moe import MixtureOfExperts


@dataclass(frozen=True)
class Encoded:
    """An encoded context, with its keys and values projected once.

    Attributes:
        mask: (B, S) bool, false where the context is padding.
        keys: keys and values, one pair a decoder layer.
    """

    mask: Tensor
    keys: list[KeyValue]


class OneRec(nn.Module):
    """The whole model.

    Args:
        config: sizes; the decoder has `planner_layers` + `generator_layers`.
        depth: D, codes an item.
        codebook_size: K.
        profiles: the profile fields it was trained with.
        tokenizer_id: `Tokenizer.id` of the tokenizer whose codes it speaks.
        experts: feed-forward of the decoder's layers; None: dense.
    """

    def __init__(
        self,
        config: ModelConfig,
        depth: int,
        codebook_size: int,
        profiles: ProfileVocabulary,
        tokenizer_id: str,
        experts: ExpertsConfig | None = None,
    ) -> None:
        super().__init__()
        self.config, self.depth, self.codebook_size = config, depth, codebook_size
        self.profiles, self.tokenizer_id, self.experts = profiles, tokenizer_id, experts
        self.embedding = CodeEmbedding(depth, codebook_size, config.width, config.pooling)
        self.encoder = ContextEncoder(config, profiles, depth)
        self.start = nn.Parameter(torch.zeros(config.width))  # BOS
        self.position_embedding = nn.Embedding(config.max_slate_size, config.width)
        self.level_embedding = nn.Embedding(depth + 1, config.width)  # of BOS, then of each code
        self.decoder = Decoder(config.planner_layers + config.generator_layers, *config.block)
        if experts is not None:
            for block in self.decoder:
                block.add_module("ffn", MixtureOfExperts(config.width, experts))
        self.head = nn.Parameter(torch.empty(depth, codebook_size, config.width))
        self.dropout = nn.Dropout(config.dropout)
        initialise(self)
        for parameter in (self.encoder.user_token, self.start, self.head):
            nn.init.normal_(parameter, std=0.02)

    def encode(self, batch: ContextBatch, codes: Tensor) -> Encoded:
        """Encode contexts once. codes: (N, D) int64, the catalogue's codes that `batch.items` points into."""
        memory, mask = self.encoder(batch, codes, self.embedding)
        return Encoded(mask, self.decoder.project(memory))

    # -- all positions at once: training ------------------------------------------------------

    def slate_logits(self, context: Encoded, slates: Tensor) -> Tensor:
        """Teacher forcing: (B, M, D) codes -> (B, M, D, K) logits, each from the codes before it."""
        batch, slate, depth = slates.shape
        start = self.start.expand(batch, slate, 1, -1)
        x = torch.cat([start, self.embedding(slates)], dim=2)  # (B, M, D + 1, C)
        x = x + self.level_embedding.weight + self.position_embedding.weight[:slate, None]
        x = self.decoder(self.dropout(x.flatten(1, 2)), context.keys, context.mask)
        x = x.unflatten(1, (slate, depth + 1))[:, :, :-1]
        return torch.einsum("bmdc,dkc->bmdk", x, self.head)

    def losses(
        self, contexts: ContextBatch, items: Tensor, codes: Tensor, smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Sum of cross-entropies over the codes of the target slates, and how many were summed.

        With experts, in training, the loss that balances them is added, so many times.

        Args:
            contexts: B contexts.
            items: (B, M) catalogue positions, PADDING behind the end.
            codes: (N, D) of the catalogue.
            smoothing: share of each target that is spread over all codes.
        """
        present = items != PADDING  # (B, M)
        slates = codes[items.clamp(min=0)]  # (B, M, D)
        logits = self.slate_logits(self.encode(contexts, codes), slates)
        wanted = slates.masked_fill(~present[..., None], PADDING).flatten()
        total = F.cross_entropy(
            logits.flatten(0, 2), wanted, ignore_index=PADDING, label_smoothing=smoothing, reduction="sum"
        )
        count = present.sum() * self.depth
        if self.experts is not None and self.training:
            tokens = present.repeat_interleave(self.depth + 1, dim=1)  # (B, M * (D + 1))
            layers = [b.ffn.balance(tokens) for b in self.decoder if isinstance(b.ffn, MixtureOfExperts)]
            total = total + self.experts.balance_weight * count * torch.stack(layers).mean()
        return total, count

    # -- one step at a time: decoding ---------------------------------------------------------

    def start_step(
        self, context: Encoded, position: int, beams: int, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        """BOS of an item: (B, W, K) logits of its first code.

        Args:
            position: m - 1.
            beams: W sequences a context.
            caches: one a layer, of B * W sequences; None at the first item.
        """
        x = self.start.expand(len(context.mask), beams, -1)
        x, caches = self._step(context, position, 0, x, caches)
        return x @ self.head[0].T, caches

    def code_step(
        self, context: Encoded, position: int, level: int, codes: Tensor, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        """A code that was chosen.

        Args:
            level: of the code, d - 1.
            codes: (B, W).

        Returns:
            (B, W, K) logits of the next code, of no meaning after an item's last; the caches grown.
        """
        x, caches = self._step(context, position, level + 1, self.embedding.level(level, codes), caches)
        return x @ self.head[min(level + 1, self.depth - 1)].T, caches

    def _step(
        self, context: Encoded, position: int, token: int, x: Tensor, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        x = x + self.level_embedding.weight[token] + self.position_embedding.weight[position]
        return self.decoder.step(x, context.keys, context.mask, caches)


def initialise(model: nn.Module) -> None:
    """As HiGR's: matrices and embeddings from a normal distribution of 0.02."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
