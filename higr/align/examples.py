"""Examples of alignment: contexts with a chosen and a rejected slate, or for F-GRPO with what was liked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import pyarrow as pa
import torch
from torch import Tensor

from higr.align.candidates import positives
from higr.align.guard import BEAM_WIDTH
from higr.align.pairs import Pairs, build_pairs
from higr.align.signals import Signals
from higr.catalog import Catalog
from higr.config import RunConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.decode.recommender import HiGRRecommender
from higr.model.higr import HiGR
from higr.model.inputs import encode_contexts
from higr.slate import UserContext
from higr.training.examples import Examples
from higr.training.targets import PADDING, Targets

BATCH = 256
"""Contexts whose own slates are decoded at once."""


@dataclass(frozen=True)
class AlignmentSet:
    """Attributes:
    slates: the logged slates they are made from.
    examples: T of them, `targets.items` (T, 2, M), chosen and rejected; (T, 1, M) for F-GRPO.
    pairs: None for F-GRPO, which draws what it compares.
    signals: of `slates`; None where the configuration names none.
    """

    slates: pa.Table
    examples: Examples
    pairs: Pairs | None
    signals: Signals | None

    @classmethod
    def build(
        cls,
        slates: pa.Table,
        data: PreparedData,
        history: HistoryIndex,
        catalog: Catalog,
        codebooks: Tensor,
        model: HiGR,
        config: RunConfig,
    ) -> Self:
        """By `config.align`.

        Args:
            codebooks: (D, K, latent) of the tokenizer.
            model: makes the slates of on-policy negatives.

        Raises:
            InputError: a signal whose data is missing.
        """
        preference, training = config.align.preference, config.training
        contexts = history.contexts(slates)
        signals = Signals.build(data, slates, catalog, preference) if preference.signals else None
        if config.align.objective == "f_grpo":
            liked = positives(slates, catalog, preference, training, signals)
            targets = Targets(liked.rows, liked.items[:, None])
            return cls(slates, _examples(targets, contexts, catalog, model), None, signals)
        own = None
        if preference.on_policy:
            recommender = HiGRRecommender(model, catalog, BEAM_WIDTH, data.disabled)
            own = own_slates(recommender, contexts, training.target_size)
        pairs = build_pairs(
            slates, catalog, codebooks, preference, training, config.seed, signals=signals, own=own
        )
        targets = Targets(pairs.rows, torch.stack([pairs.chosen, pairs.rejected], dim=1))
        return cls(slates, _examples(targets, contexts, catalog, model), pairs, signals)

    @property
    def users(self) -> list[str]:
        """(T,) the user of every example."""
        rows = pa.array(self.examples.targets.rows.numpy())
        return [str(user) for user in self.slates["user_id"].take(rows).to_pylist()]

    @property
    def counts(self) -> dict[str, int]:
        """Pairs of each kind and slates skipped, by reason; for F-GRPO the contexts."""
        return {"contexts": len(self.examples)} if self.pairs is None else self.pairs.counts


def own_slates(recommender: HiGRRecommender, contexts: Sequence[UserContext], size: int) -> Tensor:
    """What the model would show now, nothing of the history again.

    Returns:
        (S, size) int64 catalogue positions, PADDING behind the end.
    """
    own = torch.full((len(contexts), size), PADDING)
    for low in range(0, len(contexts), BATCH):
        part = contexts[low : low + BATCH]
        slates = recommender.recommend(part, size, [frozenset(context.item_ids) for context in part])
        for row, slate in enumerate(slates, start=low):
            positions = [recommender.catalog.position[item] for item in slate.item_ids]
            own[row, : len(positions)] = torch.tensor(positions, dtype=torch.int64)
    return own


def _examples(targets: Targets, contexts: Sequence[UserContext], catalog: Catalog, model: HiGR) -> Examples:
    chosen = [contexts[row] for row in targets.rows.tolist()]
    return Examples(encode_contexts(chosen, catalog, model.profiles, model.config), targets)
