"""Small random catalogues, models, users, and slates worked out without caches, trees or tensors of beams."""

import itertools
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from higr.catalog import Catalog
from higr.config import ExpertsConfig, ModelConfig
from higr.model.inputs import ContextBatch, ProfileVocabulary, encode_contexts
from higr.peers.onerec import OneRec
from higr.peers.sasrec import SASRec
from higr.peers.tiger import Tiger
from higr.slate import UserContext

Model = TypeVar("Model", bound=nn.Module)

PROFILES = ProfileVocabulary({"age": ("old", "young")})
SMALL = ModelConfig(
    width=16,
    heads=2,
    encoder_layers=1,
    planner_layers=1,
    generator_layers=1,
    feedforward=16,
    history_length=4,
    max_slate_size=8,
)
EXPERTS = ExpertsConfig(count=4, chosen=2, feedforward=4)


def catalog_of(seed: int, items: int, depth: int = 3, size: int = 4) -> Catalog:
    rng = np.random.default_rng(seed)
    every = np.array(list(itertools.product(range(size), repeat=depth)))
    codes = every[rng.choice(len(every), min(items, len(every)), replace=False)]
    return Catalog.build([f"item-{i}" for i in range(len(codes))], codes, size)


def shared_catalog(seed: int) -> Catalog:
    """12 items under four semantic IDs."""
    rng = np.random.default_rng(seed)
    codes = np.array([[0, 1], [1, 0], [1, 1], [2, 0]])[np.append(rng.integers(0, 4, 8), range(4))]
    return Catalog.build([f"item-{i}" for i in range(12)], codes, 3, priority=rng.permutation(12))


def onerec(seed: int, catalog: Catalog, experts: ExpertsConfig | None = None) -> OneRec:
    torch.manual_seed(seed)
    return strong(OneRec(SMALL, catalog.depth, catalog.codebook_size, PROFILES, "", experts))


def tiger(seed: int, catalog: Catalog) -> Tiger:
    torch.manual_seed(seed)
    config = SMALL.model_copy(update={"history_tokens": "code"})
    return strong(Tiger(config, catalog.depth, catalog.codebook_size, PROFILES, ""))


def sasrec(seed: int, catalog: Catalog) -> SASRec:
    torch.manual_seed(seed)
    return strong(SASRec(SMALL, len(catalog)))


def strong(model: Model) -> Model:
    """With weights so large that every part has a say."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


def user(seed: int, catalog: Catalog) -> UserContext:
    """0 to 5 events; user 0 has none."""
    rng = np.random.default_rng(seed)
    length = seed % 6
    items = tuple(catalog.item_ids[i] for i in rng.integers(0, len(catalog), length))
    return UserContext(f"user-{seed}", items, tuple(rng.integers(0, 4, length).tolist()), {"age": "old"})


def batch_of(users: list[UserContext], catalog: Catalog) -> ContextBatch:
    return encode_contexts(users, catalog, PROFILES, SMALL)
