"""Beam search for one item inside the prefix tree.

A beam is a node of the tree. Its continuations are the node's children that still have an eligible
item below them, so a beam can neither leave the catalogue nor run into an excluded item: if any
item is eligible, the search ends in one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from higr.prefix_tree import PrefixTree


@dataclass(frozen=True)
class Beams:
    """The best items found, best first.

    Attributes:
        items: (B, W) int64 catalogue positions; any value where the score is -inf.
        scores: (B, W) sums of log-probabilities over the D codes; -inf where there is no such beam.
    """

    items: Tensor
    scores: Tensor


StepFunction = Callable[[int, Tensor | None, Tensor | None], Tensor]
"""(level, parent beams (B, W) or None, codes (B, W) or None) -> logits (B, W, K); at level 0 W is 1."""


def beam_search(tree: PrefixTree, eligible: Tensor, width: int, step: StepFunction) -> Beams:
    """Find the `width` most likely eligible items of each row.

    Args:
        tree: of N items.
        eligible: (B, N) bool.
        width: W, beams kept a level.
        step: the model.
    """
    rows = len(eligible)
    below = eligible.new_zeros((rows, eligible.shape[1] + 1), dtype=torch.int64)
    torch.cumsum(eligible, dim=1, out=below[:, 1:])  # eligible items before each position
    nodes = torch.zeros((rows, 1), dtype=torch.int64)
    scores = torch.zeros((rows, 1))
    parents: Tensor | None = None
    codes: Tensor | None = None
    for level in range(tree.depth):
        log_probs = step(level, parents, codes).float().log_softmax(dim=-1)  # (B, W, K)
        here, there = tree.levels[level], tree.levels[level + 1]
        first, last = here.children[nodes], here.children[nodes + 1]
        child = first[..., None] + torch.arange(tree.max_children[level])  # (B, W, children)
        exists = child < last[..., None]
        child = child.clamp(max=len(there.code) - 1)
        ends = below.gather(1, there.items[child + 1].flatten(1)) - below.gather(
            1, there.items[child].flatten(1)
        )
        alive = exists & (ends.view_as(child) > 0)
        gained = log_probs.gather(2, there.code[child])
        candidates = (scores[..., None] + gained).masked_fill(~alive, -torch.inf).flatten(1)
        scores, best = candidates.topk(min(width, candidates.shape[1]), dim=1)  # (B, W)
        parents = best // child.shape[2]
        nodes = child.flatten(1).gather(1, best)
        codes = there.code[nodes]
    return Beams(nodes, scores)
