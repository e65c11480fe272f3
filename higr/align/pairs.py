"""Preference pairs: a slate the user would rather have had, and one of three kinds of worse ones.

    ranking     the positive, shuffled                                    (order matters)
    interest    the positive's items replaced by exposed, unengaged ones  (taste matters)
    diversity   the positive's first item, then items like it             (variety matters)

The paper names the three; how they are mixed and how short slates are treated is not reported.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.config import AlignConfig, TrainingConfig
from higr.data.schemas import Feedback
from higr.training.targets import PADDING, build_targets

NEGATIVES = ("ranking", "interest", "diversity")


@dataclass(frozen=True)
class Pairs:
    """Attributes:
    rows: (P,) int64, the slate each pair comes from.
    chosen: (P, M) int64 catalogue positions, best first, PADDING behind the end.
    rejected: (P, M) int64, as long as `chosen` and different from it.
    counts: pairs of each kind, and slates skipped by reason.
    """

    rows: Tensor
    chosen: Tensor
    rejected: Tensor
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.rows)


def similarity_order(catalog: Catalog, codebooks: Tensor, count: int, form: str) -> np.ndarray:
    """For every item the `count` others most similar to it, or least (`dissimilar_fill`).

    Similarity is the cosine of the items' quantised embeddings, the sum of their D codewords. The code
    that the collision policy `extend` adds stands for no codeword and is left out.

    Args:
        codebooks: (D, K, latent).

    Returns:
        (N, count) int64 catalogue positions.
    """
    levels = torch.arange(len(codebooks))
    vectors = codebooks[levels, catalog.code_tensor[:, : len(codebooks)]].sum(dim=1)  # (N, latent)
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    count = min(count, len(catalog) - 1)
    blocks = []
    for start in range(0, len(catalog), 1024):
        cosine = vectors[start : start + 1024] @ vectors.T
        if form == "dissimilar_fill":
            cosine = -cosine
        own = torch.arange(len(cosine))
        cosine[own, own + start] = -torch.inf
        blocks.append(cosine.topk(count, dim=1).indices)
    return torch.cat(blocks).numpy()


def build_pairs(
    slates: pa.Table,
    catalog: Catalog,
    codebooks: Tensor,
    config: AlignConfig,
    training: TrainingConfig,
    seed: int,
) -> Pairs:
    """One pair a slate, its kind drawn by the configured weights among those the slate allows."""
    rng = np.random.default_rng(seed)
    targets = build_targets(slates, catalog, training.model_copy(update={"pad_with_exposed": False}))
    similar = similarity_order(catalog, codebooks, 4 * training.target_size, config.diversity_form)
    weights = {kind: getattr(config, kind) for kind in NEGATIVES}
    exposed, feedback = slates["item_ids"].to_pylist(), slates["feedback"].to_pylist()
    counts: Counter[str] = Counter()
    kept, rejected = [], []
    for index, (row, padded) in enumerate(zip(targets.rows.tolist(), targets.items.tolist(), strict=True)):
        positive = [item for item in padded if item != PADDING]
        unengaged = [
            catalog.position[item]
            for item, level in zip(exposed[row], feedback[row], strict=True)
            if level < Feedback.ENGAGED and item in catalog.position
        ]
        possible = {kind: weights[kind] for kind in NEGATIVES if weights[kind]}
        if not unengaged:
            possible.pop("interest", None)
        if len(positive) < 2:
            possible.pop("ranking", None)
            possible.pop("diversity", None)
        if not possible:
            counts["skipped_no_negative"] += 1
            continue
        kind = str(rng.choice(list(possible), p=np.array(list(possible.values())) / sum(possible.values())))
        negative = _negative(kind, positive, unengaged, similar, rng)
        counts[kind] += 1
        kept.append(index)
        rejected.append(negative + [PADDING] * (len(padded) - len(negative)))
    chosen = targets.items[torch.tensor(kept, dtype=torch.int64)]
    return Pairs(
        targets.rows[torch.tensor(kept, dtype=torch.int64)],
        chosen,
        torch.tensor(rejected, dtype=torch.int64).reshape(chosen.shape),
        dict(counts),
    )


def _negative(
    kind: str, positive: list[int], unengaged: list[int], similar: np.ndarray, rng: np.random.Generator
) -> list[int]:
    if kind == "ranking":
        return shuffled(positive, rng)
    if kind == "interest":
        return unengaged[: len(positive)] + positive[len(unengaged) :]
    rest = [int(item) for item in similar[positive[0]] if item not in positive]
    return [positive[0], *rest[: len(positive) - 1], *positive[1 + len(rest) :]]


def shuffled(items: list[int], rng: np.random.Generator) -> list[int]:
    """Another order of two or more distinct items, every other order equally likely."""
    while True:
        order = [items[i] for i in rng.permutation(len(items))]
        if order != items:
            return order
