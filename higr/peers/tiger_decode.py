"""Slates from a TIGER-style model: one beam search for the next item, its best M items as the slate."""

import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.decode.beam import beam_search, follow
from higr.decode.slate import DecodedSlates
from higr.eligibility import Eligibility
from higr.errors import InputError
from higr.model.inputs import ContextBatch
from higr.model.layers import Caches
from higr.peers.onerec import Encoded
from higr.peers.tiger import Tiger


@torch.inference_mode()
def decode_next(
    model: Tiger,
    catalog: Catalog,
    batch: ContextBatch,
    size: int,
    eligibility: Eligibility,
    beam_width: int,
    item_scores: Tensor | None = None,
    cold_discount: float = 0.0,
) -> DecodedSlates:
    """The M most likely eligible items of the beam.

    A beam of W ends in W semantic IDs with an eligible item, or in all there are, so one of at least M
    fills the slate: a narrower one is widened to M.

    Args:
        batch: B contexts.
        size: M.
        eligibility: what each slate may hold, with the tree to search.
        beam_width: W.
        item_scores, cold_discount: see `higr.decode.slate.decode_slates`.

    Raises:
        InputError: a slate or a beam of less than one.
    """
    if size < 1:
        raise InputError(f"slate size {size}: at least 1 is due")
    if beam_width < 1:
        raise InputError(f"beam width {beam_width}: at least 1 is due")
    step = NextStep(model, model.encode(batch, catalog.code_tensor))
    beams = beam_search(eligibility, max(beam_width, size), step, cold_discount)
    slots = _slots(eligibility, beams.leaves, item_scores)  # (B, W, S)
    tree = eligibility.tree
    there = (slots < tree.count) & (beams.scores > -torch.inf)[..., None]
    order = (~there).flatten(1).int().argsort(dim=1, stable=True)[:, :size]
    scores = torch.where(there, beams.scores[..., None], -torch.inf).flatten(1).gather(1, order)
    items = tree.catalog_positions(slots.flatten(1).gather(1, order))
    return DecodedSlates(torch.where(scores > -torch.inf, items, -1), scores)


def _slots(eligibility: Eligibility, leaves: Tensor, item_scores: Tensor | None) -> Tensor:
    """(B, W, S) slots of the eligible items of each leaf (B, W), best first, the tree's `count` behind.

    Where semantic IDs are shared, items of one follow each other by their scores, or in catalogue order.
    """
    tree = eligibility.tree
    first = tree.nodes[-1].items
    if first is None:
        return leaves[..., None]
    slots = first.take(leaves)[..., None] + torch.arange(tree.nodes[-1].largest)  # (B, W, S)
    inside = slots < first.take(leaves + 1)[..., None]
    slots = slots.clamp(max=tree.count).long()
    eligible = inside & eligibility.has(slots.flatten(1)).view_as(slots)
    slots = torch.where(eligible, slots, tree.count)
    if item_scores is not None:
        scores = item_scores.take(tree.catalog_positions(slots)).masked_fill(~eligible, -torch.inf)
        slots = slots.gather(2, scores.argsort(dim=2, descending=True, stable=True))
    return slots


class NextStep:
    """The model as `beam_search` wants it: keeps the caches and re-orders them with the beams."""

    def __init__(self, model: Tiger, context: Encoded) -> None:
        self.model, self.context = model, context
        self.caches: Caches | None = None

    def __call__(self, level: int, parents: Tensor | None, codes: Tensor | None) -> Tensor:
        if parents is not None:
            self.caches = follow(self.caches, parents)
        logits, self.caches = self.model.step(self.context, level, codes, self.caches)
        return logits
