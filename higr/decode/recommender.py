"""HiGR as a `Recommender`: contexts and item ids in, slates out."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from higr.bundle import Bundle
from higr.catalog import Catalog
from higr.config import DecodeConfig
from higr.decode.slate import decode_slates
from higr.eligibility import Exclusions
from higr.errors import InputError
from higr.model.higr import HiGR
from higr.model.inputs import encode_contexts
from higr.prefix_tree import PrefixTree
from higr.slate import Slate, UserContext


class HiGRRecommender:
    """A model and the catalogue it may choose from.

    Args:
        disabled: items of the catalogue that are never recommended.
        item_scores: (N,) float in catalogue order; see `decode_slates`.
        cold_discount: see `decode_slates`.

    Raises:
        InputError: a model of other codes than the catalogue's, or not one finite score an item.
    """

    def __init__(
        self,
        model: HiGR,
        catalog: Catalog,
        beam_width: int,
        disabled: Iterable[str] = (),
        item_scores: torch.Tensor | None = None,
        cold_discount: float = 0.0,
    ) -> None:
        if (model.depth, model.codebook_size) != (catalog.depth, catalog.codebook_size):
            raise InputError(
                f"model speaks {model.depth} codes of {model.codebook_size}, the catalogue has "
                f"{catalog.depth} of {catalog.codebook_size}; take both from one bundle"
            )
        if item_scores is not None and (
            item_scores.shape != (len(catalog),) or not bool(item_scores.isfinite().all())
        ):
            raise InputError(
                f"item scores of shape {tuple(item_scores.shape)} for {len(catalog)} items; "
                "one finite number an item is due"
            )
        self.model, self.catalog, self.beam_width = model.eval(), catalog, beam_width
        self._item_scores, self._cold_discount = item_scores, cold_discount
        never = self._positions(disabled)
        if never:
            active = np.ones(len(catalog), bool)
            active[never] = False
            self._tree = PrefixTree(catalog.codes, catalog.codebook_size, active, stand_ins=catalog.stand_ins)
        else:
            self._tree = catalog.tree

    @classmethod
    def from_bundle(cls, bundle: Bundle | Path) -> "HiGRRecommender":
        """As the bundle was configured and without its disabled items."""
        if isinstance(bundle, Path):
            bundle = Bundle.open(bundle)
        disabled = [
            item
            for item, status in zip(
                bundle.items["item_id"].to_pylist(), bundle.items["status"].to_pylist(), strict=True
            )
            if status == "disabled"
        ]
        decode = DecodeConfig.model_validate(bundle.manifest.config["decode"])
        return cls(
            bundle.model, bundle.catalog, decode.beam_width, disabled, cold_discount=decode.cold_discount
        )

    def recommend(
        self,
        contexts: Sequence[UserContext],
        slate_size: int,
        exclude: Sequence[Collection[str]] | None = None,
    ) -> list[Slate]:
        """See `higr.slate.Recommender`. All contexts are decoded as one batch.

        Raises:
            InputError: a slate size the model cannot plan, or not one exclusion a context.
        """
        if not contexts:
            return []
        if exclude is not None and len(exclude) != len(contexts):
            raise InputError(f"{len(exclude)} exclusions for {len(contexts)} contexts; give one a context")
        batch = encode_contexts(contexts, self.catalog, self.model.profiles, self.model.config)
        excluded = [self._positions(items) for items in exclude] if exclude else [()] * len(contexts)
        decoded = decode_slates(
            self.model,
            self.catalog,
            batch,
            [slate_size] * len(contexts),
            Exclusions(self._tree, excluded, strikes=self.model.config.max_slate_size),
            self.beam_width,
            self._item_scores,
            self._cold_discount,
        )
        return [
            self._slate(items, scores) for items, scores in zip(decoded.items, decoded.scores, strict=True)
        ]

    def _positions(self, items: Iterable[str]) -> list[int]:
        """Catalogue positions; unknown ids are ignored."""
        return [self.catalog.position[item] for item in items if item in self.catalog.position]

    def _slate(self, items: torch.Tensor, scores: torch.Tensor) -> Slate:
        positions = [int(p) for p in items if p >= 0]
        return Slate(
            tuple(self.catalog.item_ids[p] for p in positions),
            tuple(float(s) for s in scores[: len(positions)]),
            tuple(tuple(int(c) for c in self.catalog.codes[p]) for p in positions),
        )
