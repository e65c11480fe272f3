"""Slates drawn from the model's own distribution, without a repeated item.

A slate is drawn as it is decoded: position by position, code by code down the prefix tree, but each code
is drawn and not searched. Its distribution is the model's over the codes that lead to an eligible item
(Gumbel-max: the largest of log p + Gumbel noise is a draw from p). Which codes these were is kept, so that
the log-probability of a draw is known exactly. The paper does not report how rollouts stay valid.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from higr.decode.beam import extend, select
from higr.eligibility import Eligibility, EligibleMask, pick_items
from higr.model.higr import Context, HiGR
from higr.model.layers import Caches
from higr.prefix_tree import PrefixTree
from higr.training.targets import PADDING


@dataclass(frozen=True)
class Rollouts:
    """Attributes:
    items: (B, G, M) int64 catalogue positions, PADDING where no eligible item was left.
    allowed: (B, G, M, D, K) bool, the codes that each code was drawn from; all of them at PADDING.
    """

    items: Tensor
    allowed: Tensor

    def join(self, other: "Rollouts") -> "Rollouts":
        """More slates of the same contexts; both are filled up to the longer one's M."""
        longest = max(self.items.shape[2], other.items.shape[2])
        parts = [part._filled_up(longest) for part in (self, other)]
        return Rollouts(
            torch.cat([part.items for part in parts], dim=1),
            torch.cat([part.allowed for part in parts], dim=1),
        )

    def _filled_up(self, longest: int) -> "Rollouts":
        more = longest - self.items.shape[2]
        return Rollouts(
            torch.nn.functional.pad(self.items, (0, more), value=PADDING),
            torch.nn.functional.pad(self.allowed, (0, 0, 0, 0, 0, more), value=True),
        )


@torch.no_grad()
def draw_slates(
    model: HiGR,
    context: Context,
    eligibility: Eligibility,
    codes: Tensor,
    size: int,
    generator: torch.Generator | None = None,
) -> Rollouts:
    """Draw G slates a context. The search runs on the CPU, where the tree is; the model where it is.

    Args:
        model: in eval mode.
        context: of B contexts.
        eligibility: of B * G rows, those of a context neighbours; its tree has no stand-ins. Items drawn
            are struck out of it, so it serves once and needs `size` strikes.
        codes: (N, D) int64 of the tree's catalogue, where the model is.
        size: M.
        generator: of the noise, on the CPU; None: the global one.
    """
    tree, rows, contexts = eligibility.tree, len(eligibility), len(context.mask)
    items = torch.full((rows, size), PADDING)
    allowed = torch.ones((rows, size, tree.depth, model.codebook_size), dtype=torch.bool)
    chosen: Tensor | None = None
    caches: Caches | None = None
    for position in range(size):
        plan, caches = model.plan_step(context, position, chosen, caches)
        if position == 0:  # one plan a context so far
            each = _repeat(torch.arange(contexts, device=plan.device), rows // contexts)
            plan, caches = plan[each], caches.take(each)
        leaves, found = _draw_item(
            model, context, position, plan, eligibility, allowed[:, position], generator
        )
        slots = torch.where(found, pick_items(eligibility, leaves), tree.count)
        drawn = tree.catalog_positions(slots)
        items[:, position] = torch.where(found, drawn, PADDING)
        eligibility.strike(slots)
        chosen = model.embedding.items(codes[drawn.to(codes.device)])
    groups = (contexts, rows // contexts)
    return Rollouts(
        items.unflatten(0, groups).to(codes.device), allowed.unflatten(0, groups).to(codes.device)
    )


def draw_orders(
    model: HiGR,
    context: Context,
    positive: Tensor,
    codes: Tensor,
    count: int,
    generator: torch.Generator | None = None,
) -> Rollouts:
    """Draw G orders of each context's items: slates from the model restricted to these items.

    Args:
        positive: (B, M) catalogue positions, PADDING behind the end.
        codes: (N, D) int64, the catalogue's, in lexicographic order.
        count: G.
        model, context, generator: as of `draw_slates`.
    """
    items = positive.cpu()
    there = items != PADDING
    known = torch.unique(items[there]) if there.any() else torch.zeros(1, dtype=torch.int64)
    row, column = there.nonzero(as_tuple=True)
    mask = torch.zeros((len(items), len(known)), dtype=torch.bool)
    mask[row, torch.searchsorted(known, items[row, column])] = True
    known_codes = codes[known.to(codes.device)]
    tree = PrefixTree(known_codes.cpu().numpy(), model.codebook_size, layout="csr")
    eligibility = EligibleMask(tree, _repeat(mask, count))
    drawn = draw_slates(model, context, eligibility, known_codes, positive.shape[1], generator)
    found = known.to(codes.device)[drawn.items.clamp(min=0)]
    return Rollouts(torch.where(drawn.items != PADDING, found, PADDING), drawn.allowed)


def _draw_item(
    model: HiGR,
    context: Context,
    position: int,
    plan: Tensor,
    eligibility: Eligibility,
    allowed: Tensor,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """A leaf for each of R rows, and whether there was an eligible one; fills allowed (R, D, K)."""
    contexts, rows = len(context.mask), len(plan)
    nodes = torch.zeros((rows, 1), dtype=torch.int32)
    scores = torch.zeros((rows, 1))
    found = torch.ones(rows, dtype=torch.bool)
    x = plan  # (R, C)
    caches: Caches | None = None
    for level in range(eligibility.tree.depth):
        logits, caches = model.generate_step(
            context, position, level, x.unflatten(0, (contexts, -1)), caches
        )  # (B, G, K)
        gained, children = extend(eligibility, level, nodes, logits.flatten(0, 1)[:, None].cpu(), 0.0)
        open_ = gained[:, 0] > -torch.inf  # (R, columns)
        found &= open_.any(dim=1)
        if children.codes is not None:
            open_ = torch.zeros_like(allowed[:, level]).scatter_add(1, children.codes[:, 0], open_)
        allowed[:, level] = open_ | ~found[:, None]
        noise = -torch.empty_like(gained).exponential_(generator=generator).log()
        _, _, nodes, told = select(scores, gained + noise, children, 1)
        x = model.embedding.level(level, told[:, 0].to(x.device))
    return nodes[:, 0].long(), found


def _repeat(values: Tensor, count: int) -> Tensor:
    return values.repeat_interleave(count, dim=0)
