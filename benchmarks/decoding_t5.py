"""What a user would otherwise run: transformers' T5 over the flat codes of the slate.

`generate` with a beam over all M * D codes and `prefix_allowed_tokens_fn` over a trie of Python
dictionaries, which keeps every beam inside the catalogue, off the user's history and off its own items.
The encoder reads an event as one token, the sum of its item's code embeddings, as HiGR's does: D tokens
an event would say the same and cost T5 more. The width, heads, inner width (gated, three matrices) and
numbers of layers are HiGR's, so the parameters are about the same, which is checked.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.errors import InputError
from higr.slate import Slate, UserContext

TOLERANCE = 0.1
START = 0
"""Token that the decoder starts with; also padding. Code c of level d is token 1 + d * K + c."""

Prefix = tuple[int, ...]


def build_t5(config: ModelConfig, depth: int, codebook_size: int, parameters: int) -> Any:
    """`T5ForConditionalGeneration` with random weights from torch's global generator.

    Args:
        config: HiGR's sizes; the decoder has `planner_layers` + `generator_layers`.
        parameters: HiGR's number of them, which T5's must be within a tenth of.

    Raises:
        InputError: transformers is not installed, or a size that cannot be met.
    """
    try:
        from transformers import T5Config, T5ForConditionalGeneration
    except ImportError as error:
        raise InputError(
            f"the T5 of the benchmark needs transformers ({error}); pip install 'higr[text]', or `make setup`"
        ) from None
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=1 + depth * codebook_size,
            d_model=config.width,
            d_kv=config.width // config.heads,
            d_ff=config.feedforward,
            num_layers=config.encoder_layers,
            num_decoder_layers=config.planner_layers + config.generator_layers,
            num_heads=config.heads,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
            pad_token_id=START,
            decoder_start_token_id=START,
            eos_token_id=None,
        )
    ).eval()
    found = sum(parameter.numel() for parameter in model.parameters())
    if abs(found - parameters) > TOLERANCE * parameters:
        raise InputError(
            f"T5 has {found:,} parameters where HiGR has {parameters:,}; "
            "a tenth of difference is allowed: take other layers"
        )
    return model


class Trie:
    """The catalogue's codes as Python dictionaries.

    Attributes:
        children: prefix to the codes that go on from it.
        items: prefix to the number of items under it.
        ids: semantic ID to item.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.children: dict[Prefix, list[int]] = {}
        self.items: Counter[Prefix] = Counter()
        self.ids: dict[Prefix, str] = {}
        for item, codes in zip(catalog.item_ids, catalog.codes.tolist(), strict=True):
            leaf = tuple(codes)
            self.ids[leaf] = item
            for length in range(len(leaf)):
                if leaf[: length + 1] not in self.items:
                    self.children.setdefault(leaf[:length], []).append(leaf[length])
                self.items[leaf[: length + 1]] += 1


class Allowed:
    """`prefix_allowed_tokens_fn` of one batch.

    Args:
        excluded: semantic IDs each row may not hold, of the trie, each once.
    """

    def __init__(
        self, trie: Trie, depth: int, codebook_size: int, excluded: Sequence[Collection[Prefix]]
    ) -> None:
        self.trie, self.depth, self.codebook_size = trie, depth, codebook_size
        self.gone = [Counter(p for leaf in leaves for p in _prefixes(leaf)) for leaves in excluded]

    def __call__(self, row: int, sent: torch.Tensor) -> list[int]:
        codes = codes_of(sent.tolist(), self.codebook_size)
        level = len(codes) % self.depth
        whole = len(codes) - level
        prefix = tuple(codes[whole:])
        chosen = Counter(tuple(codes[m : m + level + 1]) for m in range(0, whole, self.depth))
        gone, items, start = self.gone[row], self.trie.items, 1 + level * self.codebook_size
        return [
            start + code
            for code in self.trie.children[prefix]
            if (child := (*prefix, code)) and gone[child] + chosen[child] < items[child]
        ]


def codes_of(tokens: Sequence[int], codebook_size: int) -> list[int]:
    """Codes of a sequence that begins with `START`."""
    return [(token - 1) % codebook_size for token in tokens[1:]]


class T5Recommender:
    """T5 as a `Recommender`. Slates have no scores: a flat beam has one for all of them.

    Args:
        model: of `build_t5`.
        beams: 1: greedy.
    """

    def __init__(self, model: Any, catalog: Catalog, beams: int, history: int) -> None:
        self.model, self.catalog, self.beams, self.history = model, catalog, beams, history
        self.trie = Trie(catalog)
        self._codes = catalog.code_tensor
        self._first = 1 + torch.arange(catalog.depth) * catalog.codebook_size

    @torch.inference_mode()
    def recommend(
        self,
        contexts: Sequence[UserContext],
        slate_size: int,
        exclude: Sequence[Collection[str]] | None = None,
    ) -> list[Slate]:
        """See `higr.slate.Recommender`; the catalogue must hold enough items that are not excluded."""
        events, present = self._events(contexts)
        leaves = [
            {tuple(self.catalog.codes[self.catalog.position[item]].tolist()) for item in set(items)}
            for items in exclude or [()] * len(contexts)
        ]
        length, depth = slate_size * self.catalog.depth, self.catalog.depth
        sent = self.model.generate(
            inputs_embeds=self.model.shared(events).sum(dim=2),
            attention_mask=present,
            num_beams=self.beams,
            do_sample=False,
            min_new_tokens=length,
            max_new_tokens=length,
            prefix_allowed_tokens_fn=Allowed(self.trie, depth, self.catalog.codebook_size, leaves),
            # By itself transformers 4.57 makes the decoder a cache of as many layers as the encoder has.
            past_key_values=self._cache(),
        )
        slates = []
        for tokens in sent.tolist():
            codes = codes_of(tokens, self.catalog.codebook_size)
            ids = tuple(tuple(codes[m : m + depth]) for m in range(0, length, depth))
            slates.append(Slate(tuple(self.trie.ids[leaf] for leaf in ids), (0.0,) * slate_size, ids))
        return slates

    @staticmethod
    def _cache() -> Any:
        from transformers import DynamicCache, EncoderDecoderCache

        return EncoderDecoderCache(DynamicCache(), DynamicCache())

    def _events(self, contexts: Sequence[UserContext]) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, H, D) tokens and (B, H) int, 1 where there is an event."""
        positions = np.full((len(contexts), self.history), -1, np.int64)
        for row, context in enumerate(contexts):
            kept = [self.catalog.position[item] for item in context.item_ids[-self.history :]]
            positions[row, self.history - len(kept) :] = kept
        items = torch.from_numpy(positions)
        return self._codes[items.clamp(min=0)] + self._first, (items >= 0).long()


def _prefixes(leaf: Prefix) -> list[Prefix]:
    return [leaf[: length + 1] for length in range(len(leaf))]
