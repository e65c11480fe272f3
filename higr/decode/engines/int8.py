"""Engine `cpu`: HiGR and its flat opponent with int8 weights, for one core (`int8.c`).

Each has the interface of the model it is made of, as far as decoding uses it. Embeddings stay float32,
as they are looked up and not multiplied.
"""

from typing import cast

import torch
from torch import Tensor

from higr.decode.beam import Beams
from higr.decode.engines.native import Int8Linear, Int8Stack, Past, Scratch, bias_of, stack_of
from higr.decode.engines.search import GeneratorSearch, Kernels
from higr.eligibility import Eligibility
from higr.errors import EngineError
from higr.model.embedding import CodeEmbedding
from higr.model.encoder import ContextEncoder
from higr.model.higr import Context, HiGR
from higr.model.inputs import ContextBatch
from higr.model.layers import Caches, Decoder, EncoderBlock
from higr.peers.onerec import Encoded, OneRec


def check_weights(model: HiGR | OneRec) -> None:
    """Raises:
    EngineError: weights that the kernels would misread.
    """
    for name, weight in model.named_parameters():
        if weight.dtype != torch.float32 or weight.device.type != "cpu":
            raise EngineError(
                f"engine cpu: {name} is {weight.dtype} on {weight.device}; "
                "give it the model in float32 on the CPU"
            )


class Int8Encoder:
    """`ContextEncoder`."""

    def __init__(self, encoder: ContextEncoder, scratch: Scratch) -> None:
        self._encoder = encoder
        self._stack = Int8Stack(
            [cast(EncoderBlock, block) for block in encoder.blocks], encoder.norm, scratch
        )

    def __call__(self, batch: ContextBatch, codes: Tensor, embedding: CodeEmbedding) -> tuple[Tensor, Tensor]:
        """(B, S, C) memory, and its mask as a bias."""
        tokens, mask = self._encoder.tokens(batch, codes, embedding)
        bias = bias_of(mask)
        return self._stack.encode(tokens, bias), bias


class Int8HiGR:
    """`HiGR`, decoding only. Serves one thread: its working memory is shared by all calls.

    Raises:
        EngineError: a machine, an installation or a model that the kernels are not made for.
    """

    def __init__(self, model: HiGR) -> None:
        check_weights(model)
        scratch = Scratch()
        self.config, self.depth, self.codebook_size = model.config, model.depth, model.codebook_size
        self.profiles, self.embedding = model.profiles, model.embedding
        self._encoder = Int8Encoder(model.encoder, scratch)
        planner, generator = model.planner, model.generator
        self._start, self._positions = planner.start.detach(), planner.position_embedding.weight.detach()
        self._plan = stack_of(model.planner.decoder, scratch)
        self._items = [stack_of(cast(Decoder, decoder), scratch) for decoder in generator.decoders]
        self._preference = Int8Linear(generator.preference.weight, scratch)
        self._levels = generator.level_embedding.weight.detach()
        self._heads = [Int8Linear(head, scratch) for head in generator.head.detach()]
        kernels, embedding = Kernels(scratch), model.embedding.table.weight.detach()
        self._searches = [
            GeneratorSearch(kernels, items, self._preference, self._heads, self._levels, embedding, scratch)
            for items in self._items
        ]

    def encode(self, batch: ContextBatch, codes: Tensor) -> Context:
        memory, bias = self._encoder(batch, codes, self.embedding)
        return Context(bias, self._plan.project(memory), [items.project(memory) for items in self._items])

    def plan_step(
        self, context: Context, position: int, item: Tensor | None, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        x = self._start.expand(len(context.mask), -1) if item is None else item
        x = (x + self._positions[position]).view(len(context.mask), -1, x.shape[-1])
        x, caches = self._plan.step(x, context.planner, context.mask, cast("Past | None", caches))
        return x.flatten(0, 1), caches

    def generate_step(
        self, context: Context, position: int, level: int, x: Tensor, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        which = 0 if len(self._items) == 1 else position
        x = (self._preference(x) if level == 0 else x) + self._levels[level]
        x, caches = self._items[which].step(
            x, context.generator[which], context.mask, cast("Past | None", caches)
        )
        return self._heads[level](x), caches

    def search_item(
        self,
        context: Context,
        position: int,
        plan: Tensor,
        eligibility: Eligibility,
        width: int,
        cold_discount: float = 0.0,
        widths: Tensor | None = None,
        spread: Tensor | None = None,
    ) -> Beams:
        """See `higr.decode.slate.ItemSearch`."""
        which = 0 if len(self._items) == 1 else position
        keys = context.generator[which]
        return self._searches[which](
            plan, keys, context.mask, eligibility, width, cold_discount, widths, spread
        )


class Int8OneRec:
    """`OneRec` with a dense feed-forward, decoding only.

    Raises:
        EngineError: as `Int8HiGR`, or a mixture of experts.
    """

    def __init__(self, model: OneRec) -> None:
        if model.experts is not None:
            raise EngineError("engine cpu: it has no mixture of experts; use engine reference")
        check_weights(model)
        scratch = Scratch()
        self.config, self.depth, self.codebook_size = model.config, model.depth, model.codebook_size
        self.profiles, self.embedding, self._model = model.profiles, model.embedding, model
        self._encoder = Int8Encoder(model.encoder, scratch)
        self._decoder = stack_of(model.decoder, scratch)
        self.advance = Kernels(scratch).advance
        self._heads = [Int8Linear(head, scratch) for head in model.head.detach()]

    def encode(self, batch: ContextBatch, codes: Tensor) -> Encoded:
        memory, bias = self._encoder(batch, codes, self.embedding)
        return Encoded(bias, self._decoder.project(memory))

    def start_step(
        self, context: Encoded, position: int, beams: int, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        x = self._model.start.expand(len(context.mask), beams, -1)
        x, caches = self._step(context, position, 0, x, caches)
        return self._heads[0](x), caches

    def code_step(
        self, context: Encoded, position: int, level: int, codes: Tensor, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        x, caches = self._step(context, position, level + 1, self.embedding.level(level, codes), caches)
        return self._heads[min(level + 1, self.depth - 1)](x), caches

    def _step(
        self, context: Encoded, position: int, token: int, x: Tensor, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        x = x + self._model.level_embedding.weight[token] + self._model.position_embedding.weight[position]
        return self._decoder.step(x, context.keys, context.mask, cast("Past | None", caches))
