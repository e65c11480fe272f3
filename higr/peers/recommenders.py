"""The peers as `Recommender`s: the same catalogue, exclusions and prefix tree as HiGR's."""

from collections.abc import Iterable

import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.decode.requests import CatalogRecommender, check_codes
from higr.decode.slate import DecodedSlates
from higr.eligibility import Exclusions
from higr.errors import InputError
from higr.model.inputs import ContextBatch
from higr.peers.onerec import OneRec
from higr.peers.onerec_decode import Rule, decode_flat
from higr.peers.sasrec import SASRec
from higr.peers.tiger import Tiger
from higr.peers.tiger_decode import decode_next


class OneRecRecommender(CatalogRecommender):
    """Args:
        rule: `session`: beam over the whole slate, as published; `greedy`: as HiGR's.
        disabled, item_scores, cold_discount: see `HiGRRecommender`.

    Raises:
        InputError: a model of other codes than the catalogue's, or not one finite score an item.
    """

    def __init__(
        self,
        model: OneRec,
        catalog: Catalog,
        beam_width: int,
        rule: Rule,
        disabled: Iterable[str] = (),
        item_scores: Tensor | None = None,
        cold_discount: float = 0.0,
    ) -> None:
        check_codes(model.depth, model.codebook_size, catalog)
        super().__init__(catalog, model.profiles, model.config, disabled, item_scores)
        self.model, self.beam_width, self.rule = model, beam_width, rule
        if isinstance(model, OneRec):
            model.eval()
        self._cold_discount = cold_discount

    def _decode(self, batch: ContextBatch, slate_size: int, excluded: list[list[int]]) -> DecodedSlates:
        return decode_flat(
            self.model,
            self.catalog,
            batch,
            slate_size,
            Exclusions(self._tree, excluded, strikes=slate_size),
            self.beam_width,
            self.rule,
            self._item_scores,
            self._cold_discount,
        )


class TigerRecommender(CatalogRecommender):
    """The most likely next items, as a slate. Arguments and errors as `OneRecRecommender`'s."""

    def __init__(
        self,
        model: Tiger,
        catalog: Catalog,
        beam_width: int,
        disabled: Iterable[str] = (),
        item_scores: Tensor | None = None,
        cold_discount: float = 0.0,
    ) -> None:
        check_codes(model.depth, model.codebook_size, catalog)
        super().__init__(catalog, model.profiles, model.config, disabled, item_scores)
        self.model, self.beam_width = model.eval(), beam_width
        self._cold_discount = cold_discount

    def _decode(self, batch: ContextBatch, slate_size: int, excluded: list[list[int]]) -> DecodedSlates:
        return decode_next(
            self.model,
            self.catalog,
            batch,
            slate_size,
            Exclusions(self._tree, excluded, strikes=0),
            self.beam_width,
            self._item_scores,
            self._cold_discount,
        )


class SASRecRecommender(CatalogRecommender):
    """The items of highest score.

    Raises:
        InputError: a model of another number of items than the catalogue's.
    """

    def __init__(self, model: SASRec, catalog: Catalog, disabled: Iterable[str] = ()) -> None:
        if model.catalog_size != len(catalog):
            raise InputError(
                f"SASRec knows {model.catalog_size} items by their place, the catalogue has {len(catalog)}; "
                "it serves the catalogue it was trained on alone"
            )
        super().__init__(catalog, model.profiles, model.config, disabled)
        self.model = model.eval()

    @torch.inference_mode()
    def _decode(self, batch: ContextBatch, slate_size: int, excluded: list[list[int]]) -> DecodedSlates:
        if slate_size < 1:
            raise InputError(f"slate size {slate_size}: at least 1 is due")
        scores = self.model.scores(self.model(self.model.engaged(batch))[:, -1])  # (B, N)
        if self._tree.positions is not None:
            active = torch.zeros(scores.shape[1], dtype=torch.bool)
            active[self._tree.positions[:-1].long()] = True
            scores = scores.masked_fill(~active, -torch.inf)
        for row, positions in enumerate(excluded):
            scores[row, positions] = -torch.inf
        scores, items = scores.topk(min(slate_size, scores.shape[1]), dim=1)
        return DecodedSlates(torch.where(scores > -torch.inf, items, -1), scores)
