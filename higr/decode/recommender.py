"""HiGR as a `Recommender`: contexts, item ids and constraints in, slates out."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import torch

from higr.bundle import Bundle
from higr.catalog import Catalog
from higr.config import DecodeConfig
from higr.decode.constraints import ConstraintReader
from higr.decode.request import Constraints, SlateRequest
from higr.decode.requests import CatalogDecoder, check_codes
from higr.decode.slate import decode_slates
from higr.errors import InputError
from higr.model.higr import HiGR
from higr.model.inputs import encode_contexts
from higr.slate import Slate, UserContext


class HiGRRecommender(CatalogDecoder):
    """A model and the catalogue it may choose from.

    Args:
        disabled: items of the catalogue that are never recommended.
        item_scores: (N,) float in catalogue order; see `decode_slates`.
        cold_discount: see `decode_slates`.
        categories: of the items in catalogue order, for caps by category; None for an item that none counts.

    Raises:
        InputError: a model of other codes than the catalogue's, or not one finite score or one category an
            item.
    """

    def __init__(
        self,
        model: HiGR,
        catalog: Catalog,
        beam_width: int,
        disabled: Iterable[str] = (),
        item_scores: torch.Tensor | None = None,
        cold_discount: float = 0.0,
        categories: Sequence[str | None] | None = None,
    ) -> None:
        check_codes(model.depth, model.codebook_size, catalog)
        super().__init__(catalog, model.profiles, model.config, disabled, item_scores)
        self.model, self.beam_width, self._cold_discount = model.eval(), beam_width, cold_discount
        self._constraints = ConstraintReader(catalog, self._tree, categories)

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
        category = dict(
            zip(bundle.items["item_id"].to_pylist(), bundle.items["category"].to_pylist(), strict=True)
        )
        return cls(
            bundle.model,
            bundle.catalog,
            decode.beam_width,
            disabled,
            cold_discount=decode.cold_discount,
            categories=[category[item] for item in bundle.catalog.item_ids],
        )

    def register(self, name: str, items: Collection[str]) -> None:
        """Prepare a set of items for `Constraints.allow`; see `ConstraintReader.register`."""
        self._constraints.register(name, items)

    def recommend(
        self,
        contexts: Sequence[UserContext],
        slate_size: int,
        exclude: Sequence[Collection[str]] | None = None,
    ) -> list[Slate]:
        """See `higr.slate.Recommender`. All contexts are decoded as one batch.

        Raises:
            InputError: a slate size below 1 or longer than the model can make, or not one exclusion a
                context.
        """
        if exclude is not None and len(exclude) != len(contexts):
            raise InputError(f"{len(exclude)} exclusions for {len(contexts)} contexts; give one a context")
        excluded = exclude or [()] * len(contexts)
        return self.decode(
            [
                SlateRequest(context, slate_size, Constraints(exclude=items))
                for context, items in zip(contexts, excluded, strict=True)
            ]
        )

    def decode(self, requests: Sequence[SlateRequest]) -> list[Slate]:
        """One slate a request, decoded as one batch; what a slate holds does not depend on the others.

        A slate is shorter than asked for only where no eligible item is left. Where none is left for a
        position but something is pinned behind it, what is pinned moves up.

        Raises:
            InputError: a slate longer than the model can make, or constraints that cannot be followed;
                then nothing is decoded.
        """
        if not requests:
            return []
        sizes = [request.slate_size for request in requests]
        if max(sizes) > self.model.config.max_slate_size:
            raise InputError(
                f"slate size {max(sizes)}: this model plans 1 to {self.model.config.max_slate_size} items"
            )
        decoded = decode_slates(
            self.model,
            self.catalog,
            encode_contexts([r.context for r in requests], self.catalog, self._profiles, self._config),
            sizes,
            self._constraints.eligibility([request.constraints for request in requests], sizes),
            [request.beam_width or self.beam_width for request in requests],
            self._item_scores,
            self._cold_discount,
        )
        return [
            self._slate(items, scores) for items, scores in zip(decoded.items, decoded.scores, strict=True)
        ]
