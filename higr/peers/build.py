"""Peers of HiGR's size: within 10 % of its parameters for the same base configuration.

OneRec and TIGER keep HiGR's width, heads, layers (planner and generator together make their decoder)
and history, and take what inner width of the feed-forward makes up the difference: of the dense one, or
of one expert, all experts counted. SASRec keeps its published two blocks and takes the largest width
whose item table and blocks fit; what is left goes into the inner width.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import torch
from torch import nn

from higr.config import ExpertsConfig, ModelConfig
from higr.errors import InputError
from higr.model.higr import HiGR
from higr.model.inputs import ProfileVocabulary
from higr.peers.onerec import OneRec
from higr.peers.sasrec import SASRec
from higr.peers.tiger import Tiger

Kind = Literal["onerec", "onerec_moe", "tiger", "sasrec"]
Peer: TypeAlias = OneRec | Tiger | SASRec

TOLERANCE = 0.1
SASREC = {"heads": 2, "encoder_layers": 2}
"""Two blocks as published; the number of heads is that of common re-implementations."""


def build_peer(
    kind: Kind,
    base: ModelConfig,
    depth: int,
    codebook_size: int,
    profiles: ProfileVocabulary,
    catalog_size: int,
    tokenizer_id: str = "",
    experts: ExpertsConfig | None = None,
    tiger_history: Literal["item", "code"] = "code",
) -> Peer:
    """A peer, initialised from torch's global generator.

    Args:
        base: HiGR's configuration.
        depth, codebook_size, tokenizer_id: D, K and name of the tokenizer; SASRec has no use for them but
            to know HiGR's size.
        catalog_size: N; SASRec's alone.
        experts: of `onerec_moe`, but for the inner width, which is fitted; None: as published.
        tiger_history: TIGER's `history_tokens`; code: D tokens an event, as published; item: one, which
            costs what HiGR's history costs.

    Raises:
        InputError: an unknown kind, or one that cannot be made of HiGR's size.
    """

    def higr() -> nn.Module:
        return HiGR(base, depth, codebook_size, profiles, tokenizer_id)

    def onerec(inner: int) -> OneRec:
        return OneRec(_with(base, feedforward=inner), depth, codebook_size, profiles, tokenizer_id)

    def onerec_moe(inner: int) -> OneRec:
        settings = (experts or ExpertsConfig()).model_copy(update={"feedforward": inner})
        return OneRec(base, depth, codebook_size, profiles, tokenizer_id, settings)

    def tiger(inner: int) -> Tiger:
        config = _with(base, feedforward=inner, history_tokens=tiger_history)
        return Tiger(config, depth, codebook_size, profiles, tokenizer_id)

    target = count_parameters(higr)
    match kind:
        case "onerec":
            return _fitted(kind, onerec, 8, target)
        case "onerec_moe":
            return _fitted(kind, onerec_moe, 1, target)
        case "tiger":
            return _fitted(kind, tiger, 8, target)
        case "sasrec":
            width = _sasrec_width(base, catalog_size, target)
            return _fitted(kind, lambda inner: _sasrec(base, catalog_size, width, inner), 8, target)
    raise InputError(f"no peer {kind!r}; there are {', '.join(get_args(Kind))}")


def count_parameters(make: Callable[[], nn.Module]) -> int:
    """Parameters of a model that is not allocated."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make().parameters())


def _fitted(kind: Kind, make: Callable[[int], Peer], least: int, target: int) -> Peer:
    """The peer of that inner width, at least `least`, whose parameters are nearest to `target`."""
    low = count_parameters(lambda: make(least))
    step = count_parameters(lambda: make(least + 1)) - low
    inner = least + max(0, round((target - low) / step))
    found = low + (inner - least) * step
    if abs(found - target) > TOLERANCE * target:
        raise InputError(
            f"{kind} of this width has {found:,} parameters or more where HiGR has {target:,}; "
            "take a larger model or fewer items, codes or experts"
        )
    return make(inner)


def _sasrec(base: ModelConfig, catalog_size: int, width: int, inner: int) -> SASRec:
    config = _with(base, **SASREC, kv_heads=None, width=width, feedforward=inner)
    return SASRec(config, catalog_size)


def _sasrec_width(base: ModelConfig, catalog_size: int, target: int) -> int:
    """The largest width with which SASRec, its feed-forward as wide as itself, is no larger than `target`."""

    def size(width: int) -> int:
        return count_parameters(lambda: _sasrec(base, catalog_size, width, width))

    step = 2 * SASREC["heads"]
    width = 2 * step
    while size(width + step) <= target:
        width += step
    return width


def _with(base: ModelConfig, **changes: int | str | None) -> ModelConfig:
    """`base` with changes, checked."""
    return ModelConfig.model_validate({**base.model_dump(), **changes})
