"""How far an engine's slates are from the reference's: what an engine has to pass before it serves.

    parity = measure_parity(reference, engine, contexts, gains)
    parity.identical, parity.overlap, parity.ndcg_delta

Both decode the same contexts. An engine may differ where two items are nearly as likely; whether that
costs quality is what the difference of NDCG says, with the protocol of `docs/evaluation.md`.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from pydantic import Field

from higr.config import Section
from higr.errors import InputError
from higr.evaluation.bootstrap import Interval, interval, resampled_means
from higr.evaluation.metrics import ndcg
from higr.slate import Recommender, Slate, UserContext

OVERLAP, NDCG = 10, 5
"""Positions that count in the overlap and in the NDCG."""

BATCH = 64
"""Contexts asked for at once."""


class Parity(Section):
    """An engine against the reference."""

    identical: float = Field(description="share of slates with the same items in the same order")
    overlap: float = Field(
        description="mean share of the reference's first ten items that are among the engine's first ten"
    )
    ndcg_delta: Interval | None = Field(
        description="NDCG@5 of the engine less the reference's; None: no context has a gain"
    )


def measure_parity(
    reference: Recommender,
    engine: Recommender,
    contexts: Sequence[UserContext],
    gains: Sequence[Mapping[str, float]],
    exclude: Sequence[Collection[str]] | None = None,
    *,
    slate_size: int = OVERLAP,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Parity:
    """Decode every context by both and compare.

    Args:
        gains: what each context's logged slate says of its items: item to feedback strength, 0 where it
            was not engaged; 1 for every relevant item makes the NDCG binary.
        exclude: items each context may not be given.
        slate_size: of what is decoded.
        resamples, confidence, seed: of the bootstrap over users.

    Raises:
        InputError: no context, or not one mapping of gains a context.
    """
    if not contexts or len(gains) != len(contexts):
        raise InputError(
            f"parity: {len(gains)} mappings of gains for {len(contexts)} contexts; "
            "give one a context, and at least one context"
        )
    slates = [_decode(recommender, contexts, slate_size, exclude) for recommender in (reference, engine)]
    scores = [_ndcg(of, gains) for of in slates]
    delta = scores[1] - scores[0]
    defined = ~np.isnan(delta)
    found: Interval | None = None
    if defined.any():
        users = [context.user_id for context in contexts]
        means = resampled_means(delta[:, None], users, resamples, seed)[:, 0]
        found = interval(float(delta[defined].mean()), means, int(defined.sum()), confidence)
    pairs = list(zip(*slates, strict=True))
    return Parity(
        identical=float(np.mean([a.item_ids == b.item_ids for a, b in pairs])),
        overlap=float(np.mean([_overlap(a, b) for a, b in pairs])),
        ndcg_delta=found,
    )


def _decode(
    recommender: Recommender,
    contexts: Sequence[UserContext],
    slate_size: int,
    exclude: Sequence[Collection[str]] | None,
) -> list[Slate]:
    slates: list[Slate] = []
    for low in range(0, len(contexts), BATCH):
        part = slice(low, low + BATCH)
        slates += recommender.recommend(
            contexts[part], slate_size, None if exclude is None else exclude[part]
        )
    return slates


def _overlap(reference: Slate, engine: Slate) -> float:
    """Of slates without items 1 if both are, else 0: an engine must not find what the reference does not."""
    wanted, found = reference.item_ids[:OVERLAP], engine.item_ids[:OVERLAP]
    return len(set(wanted) & set(found)) / len(wanted) if wanted else float(not found)


def _ndcg(slates: Sequence[Slate], gains: Sequence[Mapping[str, float]]) -> np.ndarray:
    """(S,) NDCG@5; NaN where no item has a gain."""
    gained = np.zeros((len(slates), NDCG))
    ideal = np.zeros((len(slates), max([1, *map(len, gains)])))
    for row, (slate, gain) in enumerate(zip(slates, gains, strict=True)):
        for column, item in enumerate(slate.item_ids[:NDCG]):
            gained[row, column] = gain.get(item, 0.0)
        ideal[row, : len(gain)] = list(gain.values())
    return ndcg(gained, ideal)
