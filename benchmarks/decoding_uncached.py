"""Decoding that keeps no keys and no values: what caches are worth, on either side of a comparison.

A decoder here remembers the tokens of each sequence, not what it made of them. Every step runs all
layers over all tokens of every beam from the first one, and projects the keys and values of the context
anew, once a context and layer, not once a beam. What stays is the encoder's output, which every
implementation keeps, and the decoding rule: the slates are those of the cached decoder.
"""

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from higr.model.higr import HiGR
from higr.model.layers import Decoder, KeyValue, KeyValues
from higr.peers.onerec import OneRec


class Uncached(nn.Module):
    """A `Decoder` as the step functions of the models use it."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def project(self, memory: Tensor) -> list[KeyValue]:
        """The memory itself, (B, S, C), in the place of keys; nothing in that of values."""
        return [(memory, memory[..., :0])]

    def step(
        self, x: Tensor, context: list[KeyValue], mask: Tensor, caches: KeyValues | None
    ) -> tuple[Tensor, KeyValues]:
        """x: (B, rows, C). What is handed on is (B * rows, T, C), all tokens so far."""
        batch, rows, width = x.shape
        tokens = x.reshape(-1, 1, width)
        if caches:
            tokens = torch.cat([caches.layers[0][0], tokens], dim=1)
        keys = self.decoder.project(context[0][0])
        out = self.decoder(tokens.reshape(batch, -1, width), keys, mask, rows=rows)
        out = out.reshape(batch, rows, -1, width)[:, :, -1]
        return out, KeyValues(((tokens, tokens[..., :0]),))


def without_cache(model: HiGR | OneRec) -> HiGR | OneRec:
    """The same model with decoders that keep nothing; the given one stays as it is."""
    model = deepcopy(model)
    if isinstance(model, OneRec):
        model.decoder = cast(Decoder, Uncached(model.decoder))
        return model
    model.planner.decoder = cast(Decoder, Uncached(model.planner.decoder))
    decoders = [Uncached(cast(Decoder, decoder)) for decoder in model.generator.decoders]
    model.generator.decoders = nn.ModuleList(decoders)
    return model
