"""A model and data small enough to train in a second."""

from typing import Any

import torch
from torch import Tensor, nn

from higr.config import ModelConfig, TrainingConfig
from higr.model.higr import HiGR
from higr.model.inputs import ContextBatch, ProfileVocabulary
from higr.training.examples import Examples
from higr.training.targets import PADDING, Targets

ITEMS, DEPTH, CODES, HISTORY, SLATE = 20, 3, 8, 6, 3


def examples(count: int, seed: int = 0, profile: int = 0) -> Examples:
    """Users who are shown what follows the newest item of their history; slates of 1 to 3 items."""
    draw = torch.Generator().manual_seed(seed)
    items = torch.randint(0, ITEMS, (count, HISTORY), generator=draw, dtype=torch.int32)
    items[:, 0] = PADDING
    feedback = torch.randint(0, 4, (count, HISTORY), generator=draw, dtype=torch.int8)
    slates = (items[:, -1:].long() + torch.arange(1, SLATE + 1)) % ITEMS
    length = torch.randint(1, SLATE + 1, (count, 1), generator=draw)
    slates = slates.masked_fill(torch.arange(SLATE) >= length, PADDING)
    contexts = ContextBatch(items, feedback, torch.zeros((count, profile), dtype=torch.int32))
    return Examples(contexts, Targets(torch.arange(count), slates))


def codes() -> Tensor:
    """(ITEMS, DEPTH)."""
    return torch.randint(0, CODES, (ITEMS, DEPTH), generator=torch.Generator().manual_seed(1))


def model(dropout: float = 0.1, width: int = 16, **changes: Any) -> HiGR:
    torch.manual_seed(0)
    sizes = {
        "width": width,
        "heads": 2,
        "feedforward": 32,
        "encoder_layers": 2,
        "planner_layers": 2,
        "generator_layers": 1,
        "history_length": HISTORY,
        "dropout": dropout,
        "max_slate_size": SLATE,
    }
    config = ModelConfig.model_validate({**sizes, **changes})
    return HiGR(config, DEPTH, CODES, ProfileVocabulary({}), "t")


def settings(**changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {"epochs": 3, "batch_size": 8, "shards": 4, "target_size": SLATE, "learning_rate": 0.01, **changes}
    )


def equal(one: nn.Module, two: nn.Module) -> bool:
    """The same weights, bit for bit."""
    first, second = one.state_dict(), two.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)
