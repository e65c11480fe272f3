"""Stacks of blocks with int8 weights, run by `int8.c`: packing, memory and calls.

A weight matrix is quantised row by row (one scale an output), an activation row by its own largest value
when it is met. A stack of blocks is one call, without Python between its layers.
"""

import ctypes
import mmap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch
from torch import Tensor, nn

from higr.errors import EngineError
from higr.model.layers import Decoder, DecoderBlock, EncoderBlock, KeyValue

Block = EncoderBlock | DecoderBlock

INTERFACE = 2
"""`higr_interface` of int8.c."""

LANES = 16
"""Numbers of a register: rows and columns are filled up to a multiple of it."""


class _Linear(ctypes.Structure):
    _fields_ = [
        ("outputs", ctypes.c_int32),
        ("inputs", ctypes.c_int32),
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("norm", ctypes.c_void_p),
    ]


class _Stack(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int32) for name in ("layers", "width", "heads", "kv_heads", "inner", "cross")),
        ("linears", ctypes.c_void_p),
        ("norm", ctypes.c_void_p),
    ]


@cache
def library() -> ctypes.CDLL:
    """The compiled `int8.c`.

    Raises:
        EngineError: it was not compiled when higr was installed, or this processor cannot run it.
    """
    found = [
        path for suffix in EXTENSION_SUFFIXES if (path := Path(__file__).with_name(f"_int8{suffix}")).exists()
    ]
    if not found:
        raise EngineError(
            "engine cpu: its int8 kernels were not compiled when higr was installed; "
            "install a C compiler and higr again, or use engine reference"
        )
    try:
        loaded = ctypes.CDLL(str(found[0]))
        interface = loaded.higr_interface()
    except (OSError, AttributeError) as error:
        raise EngineError(
            f"engine cpu: {found[0].name} cannot be loaded ({error}); install higr again"
        ) from None
    if interface != INTERFACE:
        raise EngineError(
            f"engine cpu: {found[0].name} is of interface {interface}, this higr of {INTERFACE}; "
            "install higr again"
        )
    if not loaded.higr_supported():
        raise EngineError(
            "engine cpu: this processor has no AVX-512 VNNI, which its int8 kernels need; "
            "use engine reference"
        )
    pointer, number = ctypes.c_void_p, ctypes.c_int32
    loaded.higr_scratch.restype = ctypes.c_int64
    loaded.higr_scratch.argtypes = [pointer, number, number]
    loaded.higr_linear.argtypes = [pointer, pointer, number, pointer, pointer]
    loaded.higr_encode.argtypes = [pointer, pointer, number, number, pointer, pointer]
    loaded.higr_context.argtypes = [pointer, pointer, number, number, pointer, pointer]
    loaded.higr_step.argtypes = [
        *(
            pointer,
            pointer,
            number,
            number,
            pointer,
            pointer,
            pointer,
            number,
            pointer,
            pointer,
            number,
            pointer,
        )
    ]
    loaded.higr_beams.argtypes = [
        *(pointer, pointer, number, number, number, pointer, pointer, pointer, number, ctypes.c_float),
        *(pointer, number, pointer, pointer, pointer, pointer, pointer),
    ]
    loaded.higr_beams_scratch.restype = loaded.higr_search_scratch.restype = ctypes.c_int64
    loaded.higr_beams_scratch.argtypes = [pointer, number]
    loaded.higr_search_scratch.argtypes = [pointer, pointer, number, number]
    loaded.higr_search.restype = number
    loaded.higr_search.argtypes = [
        *(pointer, pointer, pointer, pointer, pointer, pointer, pointer, number, ctypes.c_float),
        *(pointer, number, pointer, pointer, pointer, pointer),
    ]
    for name in ("linear", "encode", "context", "step", "beams"):
        getattr(loaded, f"higr_{name}").restype = None
    return loaded


def linears(described: Sequence[_Linear]) -> "ctypes.Array[_Linear]":
    """One behind the other."""
    return (_Linear * len(described))(*described)


def lanes(count: int) -> int:
    return -(-count // LANES) * LANES


@dataclass(frozen=True)
class Matrix:
    """A weight matrix as the kernels read it.

    Attributes:
        tiles: uint8, w + 128 in tiles of 16 outputs and 4 inputs.
        scales: (outputs) float32.
        norm: (inputs) float32 weight of the layer norm before it, or None.
        inputs: filled up.
    """

    tiles: Tensor
    scales: Tensor
    norm: Tensor | None
    inputs: int

    @classmethod
    def pack(cls, weight: Tensor, norm: nn.LayerNorm | None = None) -> "Matrix":
        """weight: (outputs, inputs) float."""
        outputs, inputs = weight.shape
        filled = nn.functional.pad(
            weight.detach().float(), (0, lanes(inputs) - inputs, 0, lanes(outputs) - outputs)
        )
        scales = filled.abs().amax(dim=1) / 127
        whole = (filled / scales.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).round() + 128
        tiles = whole.to(torch.uint8).unflatten(0, (-1, LANES)).unflatten(2, (-1, 4)).transpose(1, 2)
        return cls(
            tiles.contiguous().flatten(),
            scales.contiguous(),
            None if norm is None else norm.weight.detach().float().clone(),
            lanes(inputs),
        )

    def described(self) -> _Linear:
        norm = None if self.norm is None else self.norm.data_ptr()
        return _Linear(len(self.scales), self.inputs, self.tiles.data_ptr(), self.scales.data_ptr(), norm)


def together(matrices: Sequence[Matrix]) -> list[Matrix]:
    """The same matrices side by side in memory of large pages: reading them in turn is what a step costs."""
    size = sum(len(matrix.tiles) for matrix in matrices)
    arena = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            arena.madvise(mmap.MADV_HUGEPAGE)
    memory = torch.frombuffer(arena, dtype=torch.uint8)
    moved, at = [], 0
    for matrix in matrices:
        tiles = memory[at : at + len(matrix.tiles)]
        tiles.copy_(matrix.tiles)
        moved.append(Matrix(tiles, matrix.scales, matrix.norm, matrix.inputs))
        at += len(tiles)
    return moved


class Scratch:
    """Working memory of the calls of one thread; grows to the largest call."""

    def __init__(self) -> None:
        self._memory = torch.empty(0, dtype=torch.uint8)

    def pointer(self, size: int) -> int:
        if len(self._memory) < size:
            self._memory = torch.empty(size, dtype=torch.uint8)
        return self._memory.data_ptr()


class Int8Linear:
    """A linear layer. weight: (outputs, inputs)."""

    def __init__(self, weight: Tensor, scratch: Scratch) -> None:
        self.outputs, self._scratch = len(weight), scratch
        self._matrix = together([Matrix.pack(weight)])[0]
        self.described = self._matrix.described()
        self._library = library()

    def __call__(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        inputs = self._matrix.inputs
        rows = x.reshape(-1, x.shape[-1])
        if inputs != rows.shape[1]:
            rows = nn.functional.pad(rows, (0, inputs - rows.shape[1]))
        rows = rows.contiguous()
        y = torch.empty(len(rows), len(self._matrix.scales), dtype=torch.float32)
        self._library.higr_linear(
            ctypes.byref(self.described),
            rows.data_ptr(),
            len(rows),
            y.data_ptr(),
            self._scratch.pointer(16 * inputs),
        )
        return y[:, : self.outputs].unflatten(0, x.shape[:-1])


@dataclass(frozen=True)
class Past:
    """`Caches` that are never copied: a sequence knows in which row of each position its keys are.

    Attributes:
        positions: a matrix (any rows, layers, 2, kv_heads * c) a position so far.
        rows: R.
        ancestors: (R, positions) int32 rows of these; None: a sequence's own everywhere.
    """

    positions: tuple[Tensor, ...]
    rows: int
    ancestors: Tensor | None

    def __len__(self) -> int:
        return self.rows

    def take(self, rows: Tensor) -> "Past":
        if self.ancestors is None:
            own = rows.int()[:, None].expand(-1, len(self.positions))
            return Past(self.positions, len(rows), own.contiguous())
        return Past(self.positions, len(rows), self.ancestors[rows])


class Int8Stack:
    """The blocks of an encoder or decoder and the norm behind them.

    Raises:
        EngineError: a width that is no multiple of 16, or blocks of another kind of feed-forward.
    """

    def __init__(self, blocks: Sequence[Block], norm: nn.LayerNorm, scratch: Scratch) -> None:
        self._library, self._scratch = library(), scratch
        attention = blocks[0].attn
        width, inner = attention.q.in_features, lanes(blocks[0].ffn.gate.out_features)
        if width % LANES:
            raise EngineError(
                f"engine cpu: model width {width} is no multiple of {LANES}; use engine reference"
            )
        matrices = together([matrix for block in blocks for matrix in _matrices(block, inner)])
        self._linears = linears([matrix.described() for matrix in matrices])
        self._norm = norm.weight.detach().float().clone()
        self._cross = isinstance(blocks[0], DecoderBlock) and blocks[0].cross is not None
        self.layers, self.width, self.narrow = len(blocks), width, attention.k.out_features
        self.described = _Stack(
            *(self.layers, width, attention.heads, attention.kv_heads, inner, int(self._cross)),
            ctypes.addressof(self._linears),
            self._norm.data_ptr(),
        )
        self._matrices = matrices
        self._self = ctypes.byref(self.described)
        self._context: Int8Linear | None = None
        if self._cross:
            self._context = Int8Linear(
                torch.cat([weight for block in blocks for weight in _context_weights(block)]), scratch
            )

    def encode(self, x: Tensor, bias: Tensor) -> Tensor:
        """x: (B, S, C); bias: see `bias_of`."""
        x = x.clone(memory_format=torch.contiguous_format)
        batch, length, _ = x.shape
        self._library.higr_encode(
            self._self, x.data_ptr(), batch, length, bias.data_ptr(), self._memory(batch * length, length)
        )
        return x

    def project(self, memory: Tensor) -> list[KeyValue]:
        """Keys and values of a context (B, S, C) for all layers, as `step` reads them; empty without."""
        if self._context is None:
            return []
        batch, length, _ = memory.shape
        y = self._context(memory).contiguous()
        keys = torch.zeros(batch, self.layers, self.narrow, lanes(length), dtype=torch.float32)
        values = torch.empty(batch, self.layers, self.narrow, length, dtype=torch.float32)
        self._library.higr_context(
            self._self, y.data_ptr(), batch, length, keys.data_ptr(), values.data_ptr()
        )
        return [(keys, values)]

    def step(
        self, x: Tensor, context: list[KeyValue], bias: Tensor, past: Past | None
    ) -> tuple[Tensor, Past]:
        """The next position of B * W sequences. x: (B, W, C); context: of `project`."""
        batch, beams, _ = x.shape
        rows = batch * beams
        x = x.clone(memory_format=torch.contiguous_format)
        before, ancestors = (past.positions, past.ancestors) if past is not None else ((), None)
        if (
            len(bias) != batch
            or len(past or x) != (rows if past else batch)
            or (context and len(context[0][0]) != batch)
        ):
            raise ValueError(f"{rows} sequences of {batch} contexts, but caches, bias or keys of others")
        t = len(before)
        now = torch.empty(rows, self.layers, 2, self.narrow, dtype=torch.float32)
        pointers = (ctypes.c_void_p * (t + 1))(*(position.data_ptr() for position in (*before, now)))
        keys, values, length = None, None, 0
        if context:
            keys, values, length = context[0][0].data_ptr(), context[0][1].data_ptr(), context[0][1].shape[-1]
        rows_before = None if ancestors is None else ancestors.data_ptr()
        self._library.higr_step(
            *(self._self, x.data_ptr(), batch, beams, keys, values, bias.data_ptr(), length),
            *(pointers, rows_before, t, self._memory(rows, max(length, t + 1))),
        )
        if ancestors is not None:
            own = torch.arange(rows, dtype=torch.int32)[:, None]
            ancestors = torch.cat([ancestors, own], dim=1)
        return x, Past((*before, now), rows, ancestors)

    def _memory(self, rows: int, length: int) -> int:
        return self._scratch.pointer(self._library.higr_scratch(self._self, rows, length))


def bias_of(mask: Tensor) -> Tensor:
    """(B, S) bool, false where a context is padded -> (B, lanes(S)) float32, -inf there and behind S."""
    bias = torch.full((len(mask), lanes(mask.shape[1])), -torch.inf, dtype=torch.float32)
    bias[:, : mask.shape[1]].masked_fill_(mask, 0.0)
    return bias


def _matrices(block: Block, inner: int) -> Iterator[Matrix]:
    """In the order of `Stack.linears`."""
    if isinstance(block, DecoderBlock) and block.cross is not None:
        yield Matrix.pack(block.cross.q.weight, block.cross_norm)
        yield Matrix.pack(block.cross.out.weight)
    attention, ffn = block.attn, block.ffn
    yield Matrix.pack(
        torch.cat([attention.q.weight, attention.k.weight, attention.v.weight]), block.attn_norm
    )
    yield Matrix.pack(attention.out.weight)
    more = (0, 0, 0, inner - ffn.gate.out_features)
    gate, up = (nn.functional.pad(linear.weight, more) for linear in (ffn.gate, ffn.up))
    yield Matrix.pack(torch.cat([gate, up]), block.ffn_norm)
    yield Matrix.pack(ffn.down.weight)


def _context_weights(block: Block) -> list[Tensor]:
    if not isinstance(block, DecoderBlock) or block.cross is None:
        return []
    return [block.cross.k.weight, block.cross.v.weight]


def stack_of(decoder: Decoder, scratch: Scratch) -> Int8Stack:
    return Int8Stack(list(decoder), decoder.norm, scratch)
