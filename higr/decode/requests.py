"""From contexts and item ids to tensors, and from positions back to slates: what all generators share."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from torch import Tensor

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.decode.slate import DecodedSlates
from higr.errors import InputError
from higr.model.inputs import ContextBatch, ProfileVocabulary, encode_contexts
from higr.prefix_tree import PrefixTree
from higr.slate import Slate, UserContext


class CatalogDecoder:
    """A catalogue as what decodes slates from it sees it: a prefix tree of its active items.

    Args:
        profiles, config: of the model.
        disabled: items of the catalogue that are never recommended.
        item_scores: (N,) float in catalogue order; see `decode_slates`.

    Raises:
        InputError: not one finite score an item.
    """

    def __init__(
        self,
        catalog: Catalog,
        profiles: ProfileVocabulary,
        config: ModelConfig,
        disabled: Iterable[str] = (),
        item_scores: Tensor | None = None,
    ) -> None:
        if item_scores is not None and (
            item_scores.shape != (len(catalog),) or not bool(item_scores.isfinite().all())
        ):
            raise InputError(
                f"item scores of shape {tuple(item_scores.shape)} for {len(catalog)} items; "
                "one finite number an item is due"
            )
        self.catalog, self._profiles, self._config = catalog, profiles, config
        self._item_scores = item_scores
        never = self._positions(disabled)
        if never:
            active = np.ones(len(catalog), bool)
            active[never] = False
            self._tree = PrefixTree(catalog.codes, catalog.codebook_size, active, stand_ins=catalog.stand_ins)
        else:
            self._tree = catalog.tree

    def _positions(self, items: Iterable[str]) -> list[int]:
        """Catalogue positions; unknown ids are ignored."""
        return [self.catalog.position[item] for item in items if item in self.catalog.position]

    def _slates(self, decoded: DecodedSlates) -> list[Slate]:
        slates = []
        for row, items in enumerate(decoded.items):
            shown = items >= 0
            positions = items[shown].tolist()
            slates.append(
                Slate(
                    tuple(self.catalog.item_ids[p] for p in positions),
                    tuple(decoded.scores[row][shown].tolist()),
                    tuple(tuple(int(c) for c in self.catalog.codes[p]) for p in positions),
                    () if decoded.propensities is None else tuple(decoded.propensities[row][shown].tolist()),
                )
            )
        return slates


class CatalogRecommender(CatalogDecoder, ABC):
    """A `Recommender` that knows no constraints but excluded items; a subclass holds a model and decodes."""

    @abstractmethod
    def _decode(self, batch: ContextBatch, slate_size: int, excluded: list[list[int]]) -> DecodedSlates:
        """Slates of B contexts; excluded: catalogue positions that each may not hold."""

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
        if not contexts:
            return []
        if exclude is not None and len(exclude) != len(contexts):
            raise InputError(f"{len(exclude)} exclusions for {len(contexts)} contexts; give one a context")
        batch = encode_contexts(contexts, self.catalog, self._profiles, self._config)
        excluded = [self._positions(items) for items in exclude or [()] * len(contexts)]
        return self._slates(self._decode(batch, slate_size, excluded))


def check_codes(depth: int, codebook_size: int, catalog: Catalog) -> None:
    """Raises:
    InputError: a model of other codes than the catalogue's.
    """
    if (depth, codebook_size) != (catalog.depth, catalog.codebook_size):
        raise InputError(
            f"model speaks {depth} codes of {codebook_size}, the catalogue has "
            f"{catalog.depth} of {catalog.codebook_size}; take both from one bundle"
        )
