"""The blocks that encoder, planner and generator are made of.

Pre-norm residual blocks with LayerNorm and SwiGLU: normalisation and activation are not reported
by the paper. LayerNorm rather than RMSNorm, and one matrix for each of query, key, value, gate and
value, because these have fused forward and backward kernels on CPU; a training step of the default
size takes 0.7 of the time. Keys and values of the context are
projected once and handed in, so that decoding never projects or copies them again. Fewer heads of
keys and values than of queries (grouped-query attention, arXiv 2305.13245) make these smaller.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KeyValue = tuple[Tensor, Tensor]
"""Keys and values, each (B, kv_heads, length, C / heads)."""


class Caches(Protocol):
    """What a decoder remembers of R sequences: the keys and values of their positions so far."""

    def __len__(self) -> int:
        """R."""
        ...

    def take(self, rows: Tensor) -> "Caches":
        """Those of sequences (R',), in that order and any number of times."""
        ...


@dataclass(frozen=True)
class KeyValues:
    """`Caches` as one pair a layer."""

    layers: tuple[KeyValue, ...]

    def __len__(self) -> int:
        return len(self.layers[0][0])

    def take(self, rows: Tensor) -> "KeyValues":
        return KeyValues(tuple((keys[rows], values[rows]) for keys, values in self.layers))


def norm(width: int) -> nn.LayerNorm:
    """Normalisation over the last axis, without a bias."""
    return nn.LayerNorm(width, bias=False)


def _split(x: Tensor, heads: int) -> Tensor:
    """(B, T, heads * c) -> (B, heads, T, c)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _merge(x: Tensor) -> Tensor:
    """(B, heads, T, c) -> (B, T, heads * c)."""
    return x.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Projections of multi-head attention; `kv_heads` of keys and values, each shared by several queries."""

    def __init__(self, width: int, heads: int, kv_heads: int | None = None) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads or heads
        narrow = width // heads * self.kv_heads
        self.q = nn.Linear(width, width, bias=False)
        self.k, self.v = (nn.Linear(width, narrow, bias=False) for _ in range(2))
        self.out = nn.Linear(width, width, bias=False)

    def _key_value(self, x: Tensor) -> KeyValue:
        """x: (B, S, C) -> its keys and values."""
        return _split(self.k(x), self.kv_heads), _split(self.v(x), self.kv_heads)

    def attend(
        self, x: Tensor, keys: KeyValue, keep: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        """x: (B, T, C); keep: bool, broadcastable to (B, heads, T, S), false where nothing is looked at."""
        grouped = self.kv_heads != self.heads
        return self.out(
            _merge(
                F.scaled_dot_product_attention(
                    _split(self.q(x), self.heads),
                    *keys,
                    attn_mask=keep,
                    is_causal=causal,
                    enable_gqa=grouped,
                )
            )
        )


class SelfAttention(Attention):
    """Among positions; `causal` ones can be run a step at a time with a cache."""

    def __init__(self, width: int, heads: int, kv_heads: int | None = None, *, causal: bool) -> None:
        super().__init__(width, heads, kv_heads)
        self.causal = causal

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, T, C); mask: (B, T) bool, false where a position is padding."""
        keep = None if mask is None else mask[:, None, None, :]
        return self.attend(x, self._key_value(x), keep, causal=self.causal)

    def step(self, x: Tensor, cache: KeyValue | None) -> tuple[Tensor, KeyValue]:
        """One more position. x: (B, 1, C); the cache grows by it."""
        k, v = self._key_value(x)
        if cache is not None:
            k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
        return self.attend(x, (k, v)), (k, v)


class CrossAttention(Attention):
    """From any positions to the context."""

    def project(self, x: Tensor) -> KeyValue:
        """x: (B, S, C) -> the context's keys and values, outside of the block: FSDP gathers by this name."""
        return self._key_value(x)

    def forward(self, x: Tensor, context: KeyValue, mask: Tensor) -> Tensor:
        """x: (B, T, C); mask: (B, S) bool, false where the context is padding."""
        return self.attend(x, context, mask[:, None, None, :])


class FeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class EncoderBlock(nn.Module):
    """h = x + attn(norm(x)); out = h + ffn(norm(h))."""

    def __init__(
        self, width: int, heads: int, inner: int, dropout: float, kv_heads: int | None = None
    ) -> None:
        super().__init__()
        self.attn_norm, self.attn = norm(width), SelfAttention(width, heads, kv_heads, causal=False)
        self.ffn_norm, self.ffn = norm(width), FeedForward(width, inner)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, S, C); mask: (B, S) bool."""
        x = x + self.dropout(self.attn(self.attn_norm(x), mask))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))


class DecoderBlock(nn.Module):
    """Cross-attention to the context, causal self-attention, feed-forward, each residual (section 3.2).

    cross: without it the block sees its own sequence alone.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        dropout: float,
        kv_heads: int | None = None,
        *,
        cross: bool = True,
    ) -> None:
        super().__init__()
        self.cross_norm = norm(width) if cross else None
        self.cross = CrossAttention(width, heads, kv_heads) if cross else None
        self.attn_norm, self.attn = norm(width), SelfAttention(width, heads, kv_heads, causal=True)
        self.ffn_norm, self.ffn = norm(width), FeedForward(width, inner)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, context: KeyValue | None, mask: Tensor, rows: int = 1) -> Tensor:
        """x: (B, rows * T, C), `rows` independent sequences of T that share one context."""
        x = self._look(x, context, mask)
        sequences = self.attn_norm(x).reshape(x.shape[0] * rows, -1, x.shape[-1])  # (B * rows, T, C)
        x = x + self.dropout(self.attn(sequences).reshape(x.shape))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))

    def step(
        self, x: Tensor, context: KeyValue | None, mask: Tensor, cache: KeyValue | None
    ) -> tuple[Tensor, KeyValue]:
        """x: (B, rows, C), the next position of each of `rows` sequences; cache: of (B * rows) sequences."""
        x = self._look(x, context, mask)
        flat = self.attn_norm(x).reshape(-1, 1, x.shape[-1])  # (B * rows, 1, C)
        attended, cache = self.attn.step(flat, cache)
        x = x + attended.reshape(x.shape)
        return x + self.ffn(self.ffn_norm(x)), cache

    def _look(self, x: Tensor, context: KeyValue | None, mask: Tensor) -> Tensor:
        if self.cross is None or self.cross_norm is None or context is None:
            return x
        return x + self.dropout(self.cross(self.cross_norm(x), context, mask))


class Decoder(nn.Module):
    """A stack of decoder blocks over one context: the planner is a deep one, the generator a shallow one."""

    def __init__(
        self,
        layers: int,
        width: int,
        heads: int,
        inner: int,
        dropout: float,
        kv_heads: int | None = None,
        *,
        cross: bool = True,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            DecoderBlock(width, heads, inner, dropout, kv_heads, cross=cross) for _ in range(layers)
        )
        self.norm = norm(width)

    def __iter__(self) -> Iterator[DecoderBlock]:
        return iter(self.blocks)  # type: ignore[arg-type]  # ModuleList forgets what it holds

    def project(self, memory: Tensor) -> list[KeyValue]:
        """Keys and values of the context (B, S, C), one pair a block; none where no block looks at it."""
        return [block.cross.project(memory) for block in self if block.cross is not None]

    def forward(self, x: Tensor, context: list[KeyValue], mask: Tensor, rows: int = 1) -> Tensor:
        """x: (B, rows * T, C), `rows` sequences of T a context."""
        for layer, block in enumerate(self):
            x = block(x, context[layer] if context else None, mask, rows)
        return self.norm(x)

    def step(
        self, x: Tensor, context: list[KeyValue], mask: Tensor, caches: Caches | None
    ) -> tuple[Tensor, Caches]:
        """x: (B, rows, C), the next position of `rows` sequences a context; caches: None at the first."""
        if caches is not None and not isinstance(caches, KeyValues):
            raise TypeError(f"caches of a {type(caches).__name__} are another decoder's")
        grown = []
        for layer, block in enumerate(self):
            x, cache = block.step(
                x, context[layer] if context else None, mask, caches.layers[layer] if caches else None
            )
            grown.append(cache)
        return self.norm(x), KeyValues(tuple(grown))
