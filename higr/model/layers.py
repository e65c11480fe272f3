"""The blocks that encoder, planner and generator are made of.

Pre-norm residual blocks with LayerNorm and SwiGLU: normalisation and activation are not reported
by the paper. LayerNorm rather than RMSNorm, and one matrix for each of query, key, value, gate and
value, because these have fused forward and backward kernels on CPU; a training step of the default
size takes 0.7 of the time. Keys and values of the context are
projected once and handed in, so that decoding never projects or copies them again.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KeyValue = tuple[Tensor, Tensor]
"""Keys and values, each (B, heads, length, C / heads)."""


def norm(width: int) -> nn.LayerNorm:
    """Normalisation over the last axis, without a bias."""
    return nn.LayerNorm(width, bias=False)


def _heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, C) -> (B, heads, T, C / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _merge(x: Tensor) -> Tensor:
    """(B, heads, T, C / heads) -> (B, T, C)."""
    return x.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head self-attention; `causal` ones can be run a step at a time with a cache."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, T, C); mask: (B, T) bool, false where a position is padding."""
        q, k, v = (_heads(project(x), self.heads) for project in (self.q, self.k, self.v))
        keep = None if mask is None else mask[:, None, None, :]
        return self.out(
            _merge(F.scaled_dot_product_attention(q, k, v, attn_mask=keep, is_causal=self.causal))
        )

    def step(self, x: Tensor, cache: KeyValue | None) -> tuple[Tensor, KeyValue]:
        """One more position. x: (B, 1, C); the cache grows by it."""
        q, k, v = (_heads(project(x), self.heads) for project in (self.q, self.k, self.v))
        if cache is not None:
            k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
        return self.out(_merge(F.scaled_dot_product_attention(q, k, v))), (k, v)


class CrossAttention(nn.Module):
    """Multi-head attention from any positions to the context."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)

    def project(self, memory: Tensor) -> KeyValue:
        """memory: (B, S, C) -> its keys and values."""
        return _heads(self.k(memory), self.heads), _heads(self.v(memory), self.heads)

    def forward(self, x: Tensor, context: KeyValue, mask: Tensor) -> Tensor:
        """x: (B, T, C); mask: (B, S) bool, false where the context is padding."""
        q = _heads(self.q(x), self.heads)
        return self.out(_merge(F.scaled_dot_product_attention(q, *context, attn_mask=mask[:, None, None, :])))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class EncoderBlock(nn.Module):
    """h = x + attn(norm(x)); out = h + ffn(norm(h))."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attn_norm, self.attn = norm(width), SelfAttention(width, heads, causal=False)
        self.ffn_norm, self.ffn = norm(width), FeedForward(width, inner)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, S, C); mask: (B, S) bool."""
        x = x + self.dropout(self.attn(self.attn_norm(x), mask))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))


class DecoderBlock(nn.Module):
    """Cross-attention to the context, causal self-attention, feed-forward, each residual (section 3.2)."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.cross_norm, self.cross = norm(width), CrossAttention(width, heads)
        self.attn_norm, self.attn = norm(width), SelfAttention(width, heads, causal=True)
        self.ffn_norm, self.ffn = norm(width), FeedForward(width, inner)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, context: KeyValue, mask: Tensor, rows: int = 1) -> Tensor:
        """x: (B, rows * T, C), `rows` independent sequences of T that share one context."""
        x = x + self.dropout(self.cross(self.cross_norm(x), context, mask))
        sequences = self.attn_norm(x).reshape(x.shape[0] * rows, -1, x.shape[-1])  # (B * rows, T, C)
        x = x + self.dropout(self.attn(sequences).reshape(x.shape))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))

    def step(
        self, x: Tensor, context: KeyValue, mask: Tensor, cache: KeyValue | None
    ) -> tuple[Tensor, KeyValue]:
        """x: (B, rows, C), the next position of each of `rows` sequences; cache: of (B * rows) sequences."""
        x = x + self.cross(self.cross_norm(x), context, mask)
        flat = self.attn_norm(x).reshape(-1, 1, x.shape[-1])  # (B * rows, 1, C)
        attended, cache = self.attn.step(flat, cache)
        x = x + attended.reshape(x.shape)
        return x + self.ffn(self.ffn_norm(x)), cache


class Decoder(nn.Module):
    """A stack of decoder blocks over one context: the planner is a deep one, the generator a shallow one."""

    def __init__(self, layers: int, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DecoderBlock(width, heads, inner, dropout) for _ in range(layers))
        self.norm = norm(width)

    def __iter__(self) -> Iterator[DecoderBlock]:
        return iter(self.blocks)  # type: ignore[arg-type]  # ModuleList forgets what it holds

    def project(self, memory: Tensor) -> list[KeyValue]:
        """Keys and values of the context (B, S, C), one pair a block."""
        return [block.cross.project(memory) for block in self]

    def forward(self, x: Tensor, context: list[KeyValue], mask: Tensor, rows: int = 1) -> Tensor:
        """x: (B, rows * T, C), `rows` sequences of T a context."""
        for block, key_value in zip(self, context, strict=True):
            x = block(x, key_value, mask, rows)
        return self.norm(x)

    def step(
        self, x: Tensor, context: list[KeyValue], mask: Tensor, caches: list[KeyValue] | None
    ) -> tuple[Tensor, list[KeyValue]]:
        """x: (B, rows, C), the next position of `rows` sequences a context; caches: None at the first."""
        grown = []
        for layer, (block, key_value) in enumerate(zip(self, context, strict=True)):
            x, cache = block.step(x, key_value, mask, caches[layer] if caches else None)
            grown.append(cache)
        return self.norm(x), grown
