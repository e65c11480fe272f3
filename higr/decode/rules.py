"""The constraints of a batch as tensors."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from higr.decode.item_bits import KindBits, union
from higr.eligibility import Asked


@dataclass(frozen=True)
class Pins:
    """Attributes:
    slots: (B, M) item that stands at each position; the tree's `count` for none.
    nodes: D tensors (B, M) int32, depth by depth the node of the pinned prefix; nowhere
        behind the end of the prefix, or of what the tree has of it.
    positions: of any row, from 0.
    """

    slots: Tensor
    nodes: list[Tensor]
    positions: frozenset[int]


@dataclass(frozen=True)
class CategoryCaps:
    """Attributes:
    bits: of the categories, as these rows see them; kind 0 is no category and has no cap.
    most: (B,) items of one category.
    """

    bits: KindBits
    most: Tensor


@dataclass(frozen=True)
class Rules:
    """The constraints of B slates of at most M positions, as tensors.

    Attributes:
        positions: M.
        forbidden: (B, E) excluded and pinned slots in rising order, the tree's `count` behind them.
        blocked: depth to (B, X) int32 nodes, nowhere behind them.
        pins: None where no row has any.
        prefix_caps: depth to (B,) most items under one node; depths without a cap are left out.
        category_caps: None where no row has any.
    """

    positions: int
    forbidden: Tensor
    blocked: Mapping[int, Tensor]
    pins: Pins | None = None
    prefix_caps: Mapping[int, Tensor] | None = None
    category_caps: CategoryCaps | None = None


def open_kinds(rules: Rules, asked: Asked) -> Tensor | None:
    """(B, R) bits of the categories of which a row holds fewer than it may; None where none has a cap."""
    caps = rules.category_caps
    if caps is None:
        return None
    held = asked.slots[:, asked.given :]
    if rules.pins is not None:
        chosen = torch.arange(rules.positions, device=held.device) < asked.position
        held = torch.where(chosen, held, rules.pins.slots)
    kinds = caps.bits.kinds(held)  # (B, M)
    alike = (kinds.unsqueeze(2) == kinds.unsqueeze(1)).sum(dim=2)
    full = (alike >= caps.most[:, None]) & (kinds > 0)
    return ~union(caps.bits.of_kinds(kinds) * full.unsqueeze(2))
