"""Beam search for one item inside the prefix tree.

A beam is a node of the tree. Its continuations are the node's children that still have an eligible
item below them, so a beam can neither leave the catalogue nor run into an excluded item: if any
item is eligible, the search ends in one.

Where a node has a stand-in (`higr.stand_ins`), the model is asked for the stand-in's code and is told
that one, so the search scores a new item as the trained one that it resembles most.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from higr.eligibility import Eligibility
from higr.model.layers import Caches
from higr.prefix_tree import Children


@dataclass(frozen=True)
class Beams:
    """The best semantic IDs found, best first.

    Attributes:
        leaves: (B, W) int64 leaves of the tree; nowhere where the score is -inf.
        scores: (B, W) sums of log-probabilities over the D codes, or over the stand-in's; -inf where
            there is no such beam.
    """

    leaves: Tensor
    scores: Tensor


StepFunction = Callable[[int, Tensor | None, Tensor | None], Tensor]
"""(level, parent beams (B, W) or None, codes told (B, W) or None) -> logits (B, W, K); at level 0 W is 1."""

Grown = tuple[Tensor, Tensor, Tensor, Tensor]
"""Scores, parent beams, nodes and codes told of the beams of the next level, each (B, W'), best first."""

Advance = Callable[..., Grown]
"""`advance`, or what an engine has in its place."""


def beam_search(
    eligibility: Eligibility,
    width: int,
    step: StepFunction,
    cold_discount: float = 0.0,
    widths: Tensor | None = None,
    spread: Tensor | None = None,
    grow: Advance | None = None,
) -> Beams:
    """Find the `width` most likely semantic IDs of each row that have an eligible item.

    Args:
        eligibility: of B rows, and the tree they search.
        width: W, beams kept a level.
        step: the model.
        cold_discount: nats taken from the score of what the model was not trained with.
        widths: (B,) beams that each row keeps of W; None: all of them.
        spread: (B, 1) nats that a beam loses, while they are compared, for each better one of the same
            parent; None: none.
        grow: an engine's own `advance`; None: the one here.
    """
    tree, grow = eligibility.tree, grow or advance
    nodes = torch.zeros((len(eligibility), 1), dtype=torch.int32)
    scores = torch.zeros((len(eligibility), 1))
    columns = torch.arange(width)
    parents: Tensor | None = None
    codes: Tensor | None = None
    for level in range(tree.depth):
        logits = step(level, parents, codes)
        scores, parents, nodes, codes = grow(
            eligibility, level, nodes, scores, logits, width, cold_discount, spread
        )
        if widths is not None:
            scores = scores.masked_fill(columns[: scores.shape[1]] >= widths[:, None], -torch.inf)
    nowhere = tree.nodes[-1].count
    there = scores > -torch.inf  # nor is a beam whose score is no number
    beams = Beams(nodes.long().masked_fill(~there, nowhere), scores.masked_fill(~there, -torch.inf))
    return beams if spread is None else by_score(beams)


def by_score(beams: Beams) -> Beams:
    """The same, best first."""
    scores, order = beams.scores.sort(dim=1, descending=True, stable=True)
    return Beams(beams.leaves.gather(1, order), scores)


def advance(
    eligibility: Eligibility,
    level: int,
    nodes: Tensor,
    scores: Tensor,
    logits: Tensor,
    width: int,
    cold_discount: float = 0.0,
    spread: Tensor | None = None,
) -> Grown:
    """One step: the best continuations of the beams of each row.

    Args:
        eligibility: of B rows, or of B * W where every beam has its own.
        nodes: (B, W) of depth `level`.
        scores: (B, W).
        logits: (B, W, K) of the next code.
        width, cold_discount, spread: see `beam_search`.
    """
    each = nodes.reshape(len(eligibility), -1)
    gained, children = extend(eligibility, level, each, logits.reshape(*each.shape, -1), cold_discount)
    return select(scores, gained, children, width, spread)


def extend(
    eligibility: Eligibility, level: int, nodes: Tensor, logits: Tensor, cold_discount: float
) -> tuple[Tensor, Children]:
    """What every continuation of every beam adds to its score.

    Args:
        nodes: (B, W) nodes of depth `level`.
        logits: (B, W, K) of the next code.

    Returns:
        (B, W, C) log-probabilities of the nodes' children, -inf where there is none to enter; the children.
    """
    gained = logits.float().log_softmax(dim=-1)
    children = eligibility.tree.children(level, nodes)
    if children.codes is not None:
        gained = gained.gather(2, children.codes)  # (B, W, C)
    if children.new is not None:
        gained = gained - cold_discount * children.new
    return gained.masked_fill_(eligibility.gate(level).dead(nodes, children), -torch.inf), children


def select(
    scores: Tensor, gained: Tensor, children: Children, width: int, spread: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The best continuations of each row; with `spread` see `beam_search`.

    Args:
        scores: (B, W) of the beams so far.
        gained, children: of `extend`; rows and beams may be laid out as (B, W, C) or (B * W, 1, C).

    Returns:
        Scores, parent beams, nodes and codes told, each (B, W'), best first; W' is at most `width`.
    """
    columns = gained.shape[2]
    candidates = scores.unsqueeze(2) + gained.reshape(*scores.shape, columns)  # (B, W, C)
    if spread is None:
        scores, best = candidates.flatten(1).topk(min(width, candidates[0].numel()), dim=1)
    else:
        better = candidates.argsort(dim=2, descending=True, stable=True).argsort(dim=2)  # of its siblings
        apart = (candidates - spread[:, :, None] * better).flatten(1)
        best = apart.topk(min(width, apart.shape[1]), dim=1).indices
        scores = candidates.flatten(1).gather(1, best)
    rows = len(scores)
    nodes = children.nodes.reshape(rows, -1).gather(1, best)
    codes = best % columns if children.codes is None else children.codes.reshape(rows, -1).gather(1, best)
    return scores, best // columns, nodes, codes


def follow(caches: Caches | None, parents: Tensor) -> Caches | None:
    """Those of each beam's parent; None of None. caches: of (B * W) sequences; parents: (B, W')."""
    return None if caches is None else caches.take(beam_rows(parents, len(caches) // len(parents)))


def beam_rows(parents: Tensor, width: int) -> Tensor:
    """(B * W') rows of the parents (B, W') where every row of a batch has `width` of them."""
    return (torch.arange(len(parents))[:, None] * width + parents).flatten()
