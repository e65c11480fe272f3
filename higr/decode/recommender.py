"""HiGR as a `Recommender`: contexts and item ids in, slates out."""

from collections.abc import Iterable
from pathlib import Path

import torch

from higr.bundle import Bundle
from higr.catalog import Catalog
from higr.config import DecodeConfig
from higr.decode.requests import CatalogRecommender, check_codes
from higr.decode.slate import DecodedSlates, decode_slates
from higr.eligibility import Exclusions
from higr.model.higr import HiGR
from higr.model.inputs import ContextBatch


class HiGRRecommender(CatalogRecommender):
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
        check_codes(model.depth, model.codebook_size, catalog)
        super().__init__(catalog, model.profiles, model.config, disabled, item_scores)
        self.model, self.beam_width, self._cold_discount = model, beam_width, cold_discount
        if isinstance(model, HiGR):
            model.eval()

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

    def _decode(self, batch: ContextBatch, slate_size: int, excluded: list[list[int]]) -> DecodedSlates:
        return decode_slates(
            self.model,
            self.catalog,
            batch,
            [slate_size] * len(batch),
            Exclusions(self._tree, excluded, strikes=self.model.config.max_slate_size),
            self.beam_width,
            self._item_scores,
            self._cold_discount,
        )
