"""Greedy slate, beam item: the reference engine (arXiv 2512.24787, section 3.2, inference).

Positions are filled one after another. Each takes one planner step and one beam search inside the
item, whose scores start anew; the best item is fed back as the sum of its code embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.decode.beam import beam_search, follow
from higr.eligibility import Eligibility, pick_items
from higr.errors import InputError
from higr.model.higr import Context, HiGR
from higr.model.inputs import ContextBatch
from higr.model.layers import KeyValue


@dataclass(frozen=True)
class DecodedSlates:
    """Attributes:
    items: (B, M) int64 catalogue positions, -1 behind the end of a slate and where nothing was eligible.
    scores: (B, M) log-probabilities of the items, or of their stand-ins less the discount; -inf where there
        is no item.
    """

    items: Tensor
    scores: Tensor


@torch.inference_mode()
def decode_slates(
    model: HiGR,
    catalog: Catalog,
    batch: ContextBatch,
    sizes: Sequence[int],
    eligibility: Eligibility,
    beam_width: int | Sequence[int],
    item_scores: Tensor | None = None,
    cold_discount: float = 0.0,
) -> DecodedSlates:
    """Fill the slates of a batch.

    Args:
        batch: B contexts.
        sizes: wanted length of each slate; the batch runs to the longest.
        eligibility: what each slate may hold, with the tree to search. Items chosen are struck out of
            it, one a position but the last, so it serves one batch.
        beam_width: W, or that of each slate.
        item_scores: (N,) float, finite; which of the items of a shared semantic ID is shown, the highest
            first. None: by the catalogue's priority.
        cold_discount: nats taken from the score of an item that has a stand-in.

    Raises:
        InputError: a length the planner was not built for, or a beam of less than one.
    """
    longest = max(sizes, default=0)
    if longest > model.config.max_slate_size or min(sizes, default=1) < 1:
        raise InputError(f"slate size {longest}: this model plans 1 to {model.config.max_slate_size} items")
    rows = len(batch)
    width, widths = _beam_widths(beam_width, rows)
    context = model.encode(batch, catalog.code_tensor)
    tree = eligibility.tree
    wanted = torch.arange(longest) < torch.tensor(list(sizes)).view(-1, 1)  # (B, M)
    items = torch.full((rows, longest), -1)
    scores = torch.full((rows, longest), -torch.inf)
    caches: list[KeyValue] | None = None
    chosen: Tensor | None = None
    for position in range(longest):
        plan, caches = model.plan_step(context, position, chosen, caches)  # (B, C)
        step = ItemStep(model, context, position, plan)
        beams = beam_search(eligibility, width, step, cold_discount, widths)
        score = beams.scores[:, 0]
        found = score > -torch.inf
        slots = torch.where(found, pick_items(eligibility, beams.leaves[:, 0], item_scores), tree.count)
        best = tree.catalog_positions(slots)
        items[:, position] = torch.where(found & wanted[:, position], best, -1)
        scores[:, position] = torch.where(wanted[:, position], score, -torch.inf)
        if position == longest - 1:
            break
        eligibility.strike(slots)
        chosen = model.embedding.items(catalog.code_tensor[best])
    return DecodedSlates(items, scores)


def _beam_widths(beam_width: int | Sequence[int], rows: int) -> tuple[int, Tensor | None]:
    """The widest, and (B,) each row's own; None where all have the same."""
    widths = [beam_width] * rows if isinstance(beam_width, int) else list(beam_width)
    if min(widths, default=1) < 1:
        raise InputError(f"beam width {min(widths)}: at least 1 is due")
    alike = len(set(widths)) <= 1
    return max(widths, default=1), None if alike else torch.tensor(widths)


class ItemStep:
    """The generator as `beam_search` wants it: keeps the caches and re-orders them with the beams."""

    def __init__(self, model: HiGR, context: Context, position: int, plan: Tensor) -> None:
        self.model, self.context, self.position, self.plan = model, context, position, plan
        self.caches: list[KeyValue] | None = None

    def __call__(self, level: int, parents: Tensor | None, codes: Tensor | None) -> Tensor:
        if parents is None or codes is None:
            x = self.model.generator.preference(self.plan)[:, None]  # (B, 1, C)
        else:
            x = self.model.embedding.level(level - 1, codes)  # (B, W, C)
            self.caches = [follow(cache, parents) for cache in self.caches or []]
        logits, self.caches = self.model.generate_step(self.context, self.position, level, x, self.caches)
        return logits
