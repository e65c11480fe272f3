"""A model, a catalogue and contexts small enough to work out every slate's probability."""

from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.model.higr import HiGR
from higr.model.inputs import ContextBatch, ProfileVocabulary
from higr.training.examples import Examples
from higr.training.targets import PADDING, Targets

DEPTH, CODES, HISTORY, SLATE = 2, 3, 4, 3


def catalog(count: int = 6, **changes: Any) -> Catalog:
    """The first `count` of the 9 semantic IDs in another order: some prefixes have fewer items."""
    codes = np.array(list(product(range(CODES), repeat=DEPTH)))[[0, 1, 2, 3, 7, 8, 4, 5, 6]][:count]
    return Catalog.build([f"i{n}" for n in range(count)], codes, CODES, **changes)


def model(dropout: float = 0.0, sharp: float = 40.0, **changes: Any) -> HiGR:
    """In training mode. sharp: how far from uniform its distribution is."""
    torch.manual_seed(0)
    sizes = {
        "width": 16,
        "heads": 2,
        "feedforward": 32,
        "encoder_layers": 1,
        "planner_layers": 2,
        "generator_layers": 1,
        "history_length": HISTORY,
        "dropout": dropout,
        "max_slate_size": SLATE,
    }
    config = ModelConfig.model_validate({**sizes, **changes})
    out = HiGR(config, DEPTH, CODES, ProfileVocabulary({}), "t")
    with torch.no_grad():
        for parameter in out.parameters():
            parameter.mul_(3 if parameter.dim() > 1 else 1)
        out.generator.head.mul_(sharp / 3)
    return out


def contexts(count: int, items: int = 6, seed: int = 0) -> ContextBatch:
    draw = torch.Generator().manual_seed(seed)
    history = torch.randint(0, items, (count, HISTORY), generator=draw, dtype=torch.int32)
    feedback = torch.randint(0, 4, (count, HISTORY), generator=draw, dtype=torch.int8)
    return ContextBatch(history, feedback, torch.zeros((count, 0), dtype=torch.int32))


def pairs(count: int, items: int = 6, seed: int = 0) -> Examples:
    """Chosen slates follow the newest item of the history, rejected ones are the same backwards."""
    read = contexts(count, items, seed)
    chosen = (read.items[:, -1:].long() + torch.arange(1, SLATE + 1)) % items
    lengths = torch.randint(2, SLATE + 1, (count, 1), generator=torch.Generator().manual_seed(seed))
    there = torch.arange(SLATE) < lengths
    backwards = torch.where(there, lengths - 1 - torch.arange(SLATE), 0)
    rejected = chosen.gather(1, backwards)
    slates = torch.stack([chosen, rejected], dim=1).masked_fill(~there[:, None], PADDING)
    return Examples(read, Targets(torch.arange(count), slates))


def exact_log_prob(
    model: HiGR, context: ContextBatch, codes: Tensor, slate: list[int], known: list[int]
) -> Tensor:
    """log p of one slate of one context where the items `known` and no others may be drawn, none twice."""
    logits = model(context, codes, codes[torch.tensor([slate])])[0]  # (M, D, K)
    total = logits.new_zeros(())
    for position, item in enumerate(slate):
        left = [other for other in known if other not in slate[:position]]
        for level in range(codes.shape[1]):
            fitting = [o for o in left if codes[o, :level].tolist() == codes[item, :level].tolist()]
            open_ = sorted({int(codes[o, level]) for o in fitting})
            scores = logits[position, level, open_].log_softmax(0)
            total = total + scores[open_.index(int(codes[item, level]))]
    return total
