"""Slates from a OneRec-style model, by two rules.

`session`: one beam search over all codes of the slate, as published. Every beam is a slate of its own
with exclusions of its own, so none holds an item twice or one that its user may not see.
`greedy`: HiGR's rule, greedy slate and beam inside an item, scores starting anew at each. It tells
the effect of the architecture from that of the decoding rule.

Both keep the keys and values of all codes so far.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.decode.beam import Advance, advance, beam_rows, beam_search, follow
from higr.decode.slate import DecodedSlates
from higr.eligibility import Exclusions, pick_items
from higr.errors import InputError
from higr.model.inputs import ContextBatch
from higr.model.layers import Caches
from higr.peers.onerec import Encoded, OneRec

Rule = Literal["session", "greedy"]


@torch.inference_mode()
def decode_flat(
    model: OneRec,
    catalog: Catalog,
    batch: ContextBatch,
    size: int,
    exclusions: Exclusions,
    beam_width: int,
    rule: Rule,
    item_scores: Tensor | None = None,
    cold_discount: float = 0.0,
) -> DecodedSlates:
    """Fill the slates of a batch.

    Args:
        batch: B contexts.
        size: M.
        exclusions: what each slate may not hold, with M strikes announced; serves one batch.
        beam_width: W.
        item_scores, cold_discount: see `higr.decode.slate.decode_slates`.

    Raises:
        InputError: a slate the model was not built for, a beam of less than one, or another rule.
    """
    if rule not in get_args(Rule):
        raise InputError(f"rule {rule!r}: a session or a greedy one is due")
    if not 1 <= size <= model.config.max_slate_size:
        raise InputError(f"slate size {size}: this model plans 1 to {model.config.max_slate_size} items")
    if beam_width < 1:
        raise InputError(f"beam width {beam_width}: at least 1 is due")
    context = model.encode(batch, catalog.code_tensor)
    if rule == "session":
        return _session(model, context, size, exclusions, beam_width, item_scores, cold_discount)
    spoken = catalog.codes if catalog.stand_ins is None else catalog.stand_ins
    told = torch.from_numpy(spoken).long()  # (N, D)
    return _greedy(model, context, told, size, exclusions, beam_width, item_scores, cold_discount)


def _session(
    model: OneRec,
    context: Encoded,
    size: int,
    exclusions: Exclusions,
    beam_width: int,
    item_scores: Tensor | None,
    cold_discount: float,
) -> DecodedSlates:
    rows, tree, grow = len(context.mask), exclusions.tree, _advance_of(model)
    best = DecodedSlates(torch.full((rows, size), -1), torch.full((rows, size), -torch.inf))
    totals = torch.zeros((rows, 1))  # (B, W) log-probabilities of the beams
    slots = torch.zeros((rows, 1, 0), dtype=torch.long)  # (B, W, m) items of the beams
    gains = torch.zeros((rows, 1, 0))  # their log-probabilities
    caches: Caches | None = None
    for position in range(size):
        before, nodes = totals, torch.zeros(totals.shape, dtype=torch.int32)
        logits, caches = model.start_step(context, position, totals.shape[1], caches)
        for level in range(tree.depth):
            # Beams differ in what they exclude: each is a row of its own here.
            width = totals.shape[1]
            totals, parents, nodes, codes = grow(
                exclusions, level, nodes, totals, logits, beam_width, cold_discount
            )
            exclusions = exclusions.take(beam_rows(parents, width))
            caches = follow(caches, parents)
            before = before.gather(1, parents)
            slots, gains = _of(slots, parents), _of(gains, parents)
            if level < tree.depth - 1 or position < size - 1:
                logits, caches = model.code_step(context, position, level, codes, caches)
        alive = totals > -torch.inf
        chosen = pick_items(exclusions, nodes.flatten().long(), item_scores).view_as(totals)
        chosen = torch.where(alive, chosen, tree.count)
        exclusions.strike(chosen.flatten())
        slots = torch.cat([slots, chosen[..., None]], dim=2)
        gains = torch.cat([gains, torch.where(alive, totals - before, -torch.inf)[..., None]], dim=2)
        # All beams of a row end together, when no eligible item is left: keep its best so far.
        going = alive[:, 0]
        best.items[going, : position + 1] = tree.catalog_positions(slots[going, 0])
        best.scores[going, : position + 1] = gains[going, 0]
    return best


def _advance_of(model: OneRec) -> Advance:
    """An engine may have its own."""
    return getattr(model, "advance", advance)


def _of(values: Tensor, parents: Tensor) -> Tensor:
    """(B, W, m) values of each beam's parent (B, W')."""
    return values.gather(1, parents[..., None].expand(-1, -1, values.shape[2]))


def _greedy(
    model: OneRec,
    context: Encoded,
    told: Tensor,
    size: int,
    exclusions: Exclusions,
    beam_width: int,
    item_scores: Tensor | None,
    cold_discount: float,
) -> DecodedSlates:
    rows, tree = len(context.mask), exclusions.tree
    items, scores = torch.full((rows, size), -1), torch.full((rows, size), -torch.inf)
    caches: Caches | None = None
    for position in range(size):
        step = FlatStep(model, context, position, caches)
        beams = beam_search(exclusions, beam_width, step, cold_discount, grow=_advance_of(model))
        score = beams.scores[:, 0]
        found = score > -torch.inf
        slots = torch.where(found, pick_items(exclusions, beams.leaves[:, 0], item_scores), tree.count)
        chosen = tree.catalog_positions(slots)
        items[:, position], scores[:, position] = torch.where(found, chosen, -1), score
        if position < size - 1:
            exclusions.strike(slots)
            caches = step.take(told[chosen])
    return DecodedSlates(items, scores)


class FlatStep:
    """The codes of one item as `beam_search` asks for them, behind those of the items before."""

    def __init__(self, model: OneRec, context: Encoded, position: int, caches: Caches | None) -> None:
        self.model, self.context, self.position = model, context, position
        self.caches = caches
        self.path = torch.zeros((len(context.mask), 1, 0), dtype=torch.long)  # (B, W, d) codes told

    def __call__(self, level: int, parents: Tensor | None, codes: Tensor | None) -> Tensor:
        if parents is None or codes is None:
            logits, self.caches = self.model.start_step(self.context, self.position, 1, self.caches)
            return logits
        self.path = torch.cat([_of(self.path, parents), codes[..., None]], dim=2)
        self.caches = follow(self.caches, parents)
        logits, self.caches = self.model.code_step(self.context, self.position, level - 1, codes, self.caches)
        return logits

    def take(self, codes: Tensor) -> Caches:
        """The caches behind an item of codes (B, D) that a beam has led to."""
        beam = (self.path == codes[:, None, :-1]).all(dim=2).int().argmax(dim=1)
        caches = follow(self.caches, beam[:, None])
        level = codes.shape[1] - 1
        _, caches = self.model.code_step(self.context, self.position, level, codes[:, -1:], caches)
        return caches
