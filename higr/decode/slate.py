"""Greedy slate, beam item: the reference engine (arXiv 2512.24787, section 3.2, inference).

Positions are filled one after another. Each takes one planner step and one beam search inside the
item, whose scores start anew; the best item is fed back as the sum of its code embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.decode.beam import Beams, beam_search, follow
from higr.decode.sampling import Draws
from higr.eligibility import Eligibility, pick_items
from higr.errors import InputError
from higr.model.embedding import CodeEmbedding
from higr.model.higr import Context
from higr.model.inputs import ContextBatch, ProfileVocabulary
from higr.model.layers import Caches


class SlateModel(Protocol):
    """What decoding asks of HiGR, and of the engines that stand in for it (`higr.decode.engines`)."""

    config: ModelConfig
    depth: int
    codebook_size: int
    profiles: ProfileVocabulary
    embedding: CodeEmbedding

    def encode(self, batch: ContextBatch, codes: Tensor) -> Context:
        """See `HiGR.encode`."""
        ...

    def plan_step(
        self, context: Context, position: int, item: Tensor | None, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        """See `HiGR.plan_step`."""
        ...

    def generate_step(
        self, context: Context, position: int, level: int, x: Tensor, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        """See `HiGR.generate_step`."""
        ...


@dataclass(frozen=True)
class DecodedSlates:
    """Attributes:
    items: (B, M) int64 catalogue positions, -1 behind the end of a slate and where nothing was eligible.
    scores: (B, M) log-probabilities of the items, or of their stand-ins less the discount; -inf where there
        is no item.
    propensities: (B, M) probabilities with which they were chosen; None where no slate explored.
    """

    items: Tensor
    scores: Tensor
    propensities: Tensor | None = None


@torch.inference_mode()
def decode_slates(
    model: SlateModel,
    catalog: Catalog,
    batch: ContextBatch,
    sizes: Sequence[int],
    eligibility: Eligibility,
    beam_width: int | Sequence[int],
    item_scores: Tensor | None = None,
    cold_discount: float = 0.0,
) -> DecodedSlates:
    """Encode B contexts and fill their slates; see `fill_slates`."""
    context = model.encode(batch, catalog.code_tensor)
    return fill_slates(model, catalog, context, sizes, eligibility, beam_width, item_scores, cold_discount)


@torch.inference_mode()
def fill_slates(
    model: SlateModel,
    catalog: Catalog,
    context: Context,
    sizes: Sequence[int],
    eligibility: Eligibility,
    beam_width: int | Sequence[int],
    item_scores: Tensor | None = None,
    cold_discount: float = 0.0,
    *,
    before: Tensor | None = None,
    draws: Draws | None = None,
) -> DecodedSlates:
    """Fill the slates of a batch.

    Args:
        context: of B contexts.
        sizes: wanted length of each slate; the batch runs to the longest.
        eligibility: what each slate may hold, with the tree to search. Items chosen are struck out of
            it, one a position but the last, so it serves one batch.
        beam_width: W, or that of each slate.
        item_scores: (N,) float, finite; which of the items of a shared semantic ID is shown, the highest
            first. None: by the catalogue's priority.
        cold_discount: nats taken from the score of an item that has a stand-in.
        before: (B, P) catalogue positions of items that the planner is told stand before the slate.
        draws: of slates that explore; None: none does.

    Raises:
        InputError: a length the planner was not built for, or a beam of less than one.
    """
    longest, first = max(sizes, default=0), 0 if before is None else before.shape[1]
    if first + longest > model.config.max_slate_size or min(sizes, default=1) < 1:
        raise InputError(
            f"slate size {longest}, {first} items before it: this model plans 1 to "
            f"{model.config.max_slate_size} items"
        )
    rows = len(context.mask)
    width, widths = _beam_widths(beam_width, rows)
    tree = eligibility.tree
    wanted = torch.arange(longest) < torch.tensor(list(sizes)).view(-1, 1)  # (B, M)
    slots, scores = [torch.zeros(rows, 0, dtype=torch.int64)], [torch.zeros(rows, 0)]
    propensities = None if draws is None else torch.zeros(rows, longest)
    spread, search = None if draws is None else draws.diversity, item_search(model)
    caches: Caches | None = None
    chosen: Tensor | None = None
    for position in range(first):
        _, caches = model.plan_step(context, position, chosen, caches)
        chosen = _embedded(model, catalog, before[:, position]) if before is not None else None
    for position in range(longest):
        plan, caches = model.plan_step(context, first + position, chosen, caches)  # (B, C)
        beams = search(context, first + position, plan, eligibility, width, cold_discount, widths, spread)
        score, leaves = beams.scores[:, 0], beams.leaves[:, 0]
        if draws is not None and propensities is not None:
            which, propensities[:, position] = draws.pick(position, beams.scores)
            score, leaves = (part.gather(1, which[:, None])[:, 0] for part in (beams.scores, beams.leaves))
        best = pick_items(eligibility, leaves, item_scores)
        slots.append(best[:, None])
        scores.append(score[:, None])
        if position == longest - 1:
            break
        eligibility.strike(best)
        chosen = _embedded(model, catalog, tree.catalog_positions(best))
    best, score = torch.cat(slots, dim=1), torch.cat(scores, dim=1)
    items = torch.where(wanted & (best < tree.count), tree.catalog_positions(best), -1)
    return DecodedSlates(items, score.masked_fill(~wanted, -torch.inf), propensities)


def _embedded(model: SlateModel, catalog: Catalog, positions: Tensor) -> Tensor:
    return model.embedding.items(catalog.code_tensor[positions])


def _beam_widths(beam_width: int | Sequence[int], rows: int) -> tuple[int, Tensor | None]:
    """The widest, and (B,) each row's own; None where all have the same."""
    widths = [beam_width] * rows if isinstance(beam_width, int) else list(beam_width)
    if min(widths, default=1) < 1:
        raise InputError(f"beam width {min(widths)}: at least 1 is due")
    alike = len(set(widths)) <= 1
    return max(widths, default=1), None if alike else torch.tensor(widths)


class ItemSearch(Protocol):
    """The search for the item of one position."""

    def __call__(
        self,
        context: Context,
        position: int,
        plan: Tensor,
        eligibility: Eligibility,
        width: int,
        cold_discount: float = 0.0,
        widths: Tensor | None = None,
        spread: Tensor | None = None,
    ) -> Beams:
        """plan: (B, C); all else as of `beam_search`."""
        ...


@runtime_checkable
class ItemSearcher(Protocol):
    """A `SlateModel` that searches by itself."""

    search_item: ItemSearch


def item_search(model: SlateModel) -> ItemSearch:
    """The model's own, or `beam_search` around its steps."""
    if isinstance(model, ItemSearcher):
        return model.search_item

    def search(
        context: Context,
        position: int,
        plan: Tensor,
        eligibility: Eligibility,
        width: int,
        cold_discount: float = 0.0,
        widths: Tensor | None = None,
        spread: Tensor | None = None,
    ) -> Beams:
        step = ItemStep(model, context, position, plan)
        return beam_search(eligibility, width, step, cold_discount, widths, spread)

    return search


class ItemStep:
    """The generator as `beam_search` wants it: keeps the caches and re-orders them with the beams."""

    def __init__(self, model: SlateModel, context: Context, position: int, plan: Tensor) -> None:
        self.model, self.context, self.position, self.plan = model, context, position, plan
        self.caches: Caches | None = None

    def __call__(self, level: int, parents: Tensor | None, codes: Tensor | None) -> Tensor:
        if parents is None or codes is None:
            x = self.plan[:, None]  # (B, 1, C)
        else:
            x = self.model.embedding.level(level - 1, codes)  # (B, W, C)
            self.caches = follow(self.caches, parents)
        logits, self.caches = self.model.generate_step(self.context, self.position, level, x, self.caches)
        return logits
