"""HiGR as a `Recommender`: contexts, item ids and constraints in, slates out."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from higr.bundle import Bundle
from higr.catalog import Catalog
from higr.config import DecodeConfig
from higr.decode.constraints import ConstraintReader
from higr.decode.context_cache import ContextCache
from higr.decode.engines.check import checked_engine
from higr.decode.request import Constraints, SlateRequest
from higr.decode.requests import CatalogDecoder, check_codes
from higr.decode.sampling import Draws
from higr.decode.slate import SlateModel, fill_slates
from higr.errors import InputError
from higr.model.higr import Context
from higr.model.inputs import encode_contexts
from higr.slate import Slate, UserContext


class HiGRRecommender(CatalogDecoder):
    """A model and the catalogue it may choose from. Serves one thread.

    Args:
        model: HiGR in eval mode, or an engine that stands in for it (`higr.decode.engines`).
        disabled: items of the catalogue that are never recommended.
        item_scores: (N,) float in catalogue order; see `decode_slates`.
        cold_discount: see `decode_slates`.
        categories: of the items in catalogue order, for caps by category; None for an item that none counts.
        cache_bytes: of encoded contexts that are kept, see `ContextCache`.

    Raises:
        InputError: a model of other codes than the catalogue's, or not one finite score or one category an
            item.
    """

    def __init__(
        self,
        model: SlateModel,
        catalog: Catalog,
        beam_width: int,
        disabled: Iterable[str] = (),
        item_scores: torch.Tensor | None = None,
        cold_discount: float = 0.0,
        categories: Sequence[str | None] | None = None,
        cache_bytes: int = 0,
    ) -> None:
        check_codes(model.depth, model.codebook_size, catalog)
        super().__init__(catalog, model.profiles, model.config, disabled, item_scores)
        self.model, self.beam_width, self._cold_discount = model, beam_width, cold_discount
        self._constraints = ConstraintReader(catalog, self._tree, categories)
        self.contexts = ContextCache(cache_bytes)
        if isinstance(model, nn.Module):
            model.eval()

    @classmethod
    def from_bundle(cls, bundle: Bundle | Path, engine: str | None = None) -> "HiGRRecommender":
        """As the bundle was configured and without its disabled items.

        Args:
            engine: one of `higr.decode.engines`; None: as configured.

        Raises:
            EngineError: an engine that cannot run here, or whose slates are not the reference's.
        """
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

        def recommender(model: SlateModel, cache_bytes: int = 0) -> "HiGRRecommender":
            return cls(
                model,
                bundle.catalog,
                decode.beam_width,
                disabled,
                cold_discount=decode.cold_discount,
                categories=[category[item] for item in bundle.catalog.item_ids],
                cache_bytes=cache_bytes,
            )

        name = engine or decode.engine
        checked = checked_engine(name, bundle.model, bundle.catalog, decode.parity_floor, recommender)
        return recommender(checked, decode.context_cache_mb * 1_000_000)

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
        longest = self.model.config.max_slate_size
        for request in requests:
            if request.slate_size > longest:
                raise InputError(f"slate size {request.slate_size}: this model plans 1 to {longest} items")
        pages = [self._page(request) for request in requests]
        groups: dict[tuple[int, int], list[int]] = {}
        for row, request in enumerate(requests):
            groups.setdefault((len(pages[row]), self._beam(request)), []).append(row)
        slates: dict[int, Slate] = {}
        for rows in groups.values():
            made = self._together([requests[r] for r in rows], [pages[r] for r in rows])
            slates.update(zip(rows, made, strict=True))
        return [slates[row] for row in range(len(requests))]

    def _beam(self, request: SlateRequest) -> int:
        return request.beam_width or self.beam_width

    def _page(self, request: SlateRequest) -> list[int]:
        """Catalogue positions of the last items shown before that the planner can go on behind."""
        room = self.model.config.max_slate_size - request.slate_size
        return self._positions(request.shown)[-room:] if room else []

    @torch.inference_mode()
    def _together(self, requests: Sequence[SlateRequest], pages: Sequence[list[int]]) -> list[Slate]:
        """Requests whose planners go on from equally far and whose beams are equally wide: which of two equal
        scores a search keeps may depend on its width, and must not depend on a neighbour's."""
        sizes = [request.slate_size for request in requests]
        users = [request.context for request in requests]
        eligibility = self._constraints.eligibility([request.allowed for request in requests], sizes)

        def encode(rows: list[int]) -> Context:
            batch = encode_contexts([users[r] for r in rows], self.catalog, self._profiles, self._config)
            return self.model.encode(batch, self.catalog.code_tensor)

        decoded = fill_slates(
            self.model,
            self.catalog,
            self.contexts.encoded(users, encode),
            sizes,
            eligibility,
            self._beam(requests[0]),
            self._item_scores,
            self._cold_discount,
            before=torch.tensor(pages).view(len(pages), -1),
            draws=Draws.of([request.sampling for request in requests], max(sizes)),
        )
        return self._slates(decoded)
