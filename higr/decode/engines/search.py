"""Beam search by `int8.c`: a step of it, or all that leads from a plan to items in one call.

The same as `higr.decode.beam` to the rounding of the scores. Of equal scores it keeps the first: that of
the better parent, and of one parent that of the lower column of `higr.prefix_tree`.
"""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from higr.decode.beam import Beams, Grown, by_score
from higr.decode.engines.native import Int8Linear, Int8Stack, Scratch, library, linears
from higr.eligibility import Asked, Eligibility
from higr.gate import NodeBits
from higr.model.layers import KeyValue
from higr.prefix_tree import PrefixTree


class _Edges(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int32) for name in ("columns", "nowhere")),
        *((name, ctypes.c_void_p) for name in ("table", "first", "spoken", "fresh", "items", "facts")),
    ]


class _NodeBits(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("table", "which", "inside", "start")]


class _Limits(ctypes.Structure):
    _fields_ = [
        ("bits", _NodeBits),
        ("blocked", ctypes.c_void_p),
        ("blocks", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("pinned", "most")),
    ]


class _Asked(ctypes.Structure):
    _fields_ = [
        *(
            (name, ctypes.c_int32)
            for name in ("rows", "depth", "words", "taken", "given", "position", "positions")
        ),
        *((name, ctypes.c_void_p) for name in ("slots", "pinned", "most")),
        ("items", _NodeBits),
        ("limits", ctypes.c_void_p),
    ]


class _Generator(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int32) for name in ("depth", "codes")),
        *((name, ctypes.c_void_p) for name in ("stack", "preference", "heads", "levels", "embedding")),
    ]


class Kernels:
    """The searches of one engine. Serves one thread."""

    def __init__(self, scratch: Scratch) -> None:
        self._library, self._scratch = library(), scratch
        self._tree: PrefixTree | None = None
        self._edges: ctypes.Array[_Edges] = (_Edges * 0)()
        self._asked: Asked | None = None
        self._described = _Asked()

    def edges(self, tree: PrefixTree) -> "ctypes.Array[_Edges]":
        """Of all levels."""
        if self._tree is not tree:
            self._edges = (_Edges * tree.depth)(*(_edges(tree, level) for level in range(tree.depth)))
            self._tree = tree
        return self._edges

    def asked(self, asked: Asked, depth: int) -> _Asked:
        """As it is by now."""
        if self._asked is not asked:
            self._described, self._limits, self._kept = _asked(asked, depth)
            self._asked = asked
        if self._described.positions:
            asked.check_position(self._described.positions)
        self._described.position = asked.position
        return self._described

    def advance(
        self,
        eligibility: Eligibility,
        level: int,
        nodes: Tensor,
        scores: Tensor,
        logits: Tensor,
        width: int,
        cold_discount: float = 0.0,
        spread: Tensor | None = None,
    ) -> Grown:
        """See `higr.decode.beam.advance`."""
        edges, (batch, beams), codes = self.edges(eligibility.tree), nodes.shape, logits.shape[-1]
        asked = ctypes.byref(self.asked(eligibility.asked, eligibility.tree.depth))
        if (
            len(eligibility) not in (batch, batch * beams)
            or not nodes.shape == scores.shape == logits.shape[:-1]
            or codes != eligibility.tree.codebook_size
            or width < 1
        ):
            raise ValueError(
                f"beams {tuple(nodes.shape)}, but logits {tuple(logits.shape)} of {len(eligibility)} rows; "
                f"{width} to be kept of a tree of {eligibility.tree.codebook_size} codes"
            )
        spread = None if spread is None else spread.float().contiguous()
        kept = [nodes.int().contiguous(), scores.float().contiguous(), logits.float().contiguous()]
        width = min(width, beams * edges[level].columns)
        found = torch.empty(batch, width, dtype=torch.float32)
        parents, below, told = torch.empty(3, batch, width, dtype=torch.int32)
        self._library.higr_beams(
            *(edges, asked, level, batch, beams),
            *(values.data_ptr() for values in kept),
            *(codes, cold_discount, _address(spread), width),
            *(found.data_ptr(), parents.data_ptr(), below.data_ptr(), told.data_ptr()),
            self._scratch.pointer(self._library.higr_beams_scratch(asked, width)),
        )
        return found, parents.long(), below, told.long()


class GeneratorSearch:
    """The search for an item behind a plan: `beam_search` with all the model's steps.

    Args:
        levels: (D, C) embedding of the levels.
        embedding: (D * K, C) of the codes.
    """

    def __init__(
        self,
        kernels: Kernels,
        stack: Int8Stack,
        preference: Int8Linear,
        heads: Sequence[Int8Linear],
        levels: Tensor,
        embedding: Tensor,
        scratch: Scratch,
    ) -> None:
        self._kernels, self._scratch, self._library = kernels, scratch, library()
        self._heads = linears([head.described for head in heads])
        self._kept = (stack, preference, heads, levels, embedding)
        self._generator = _Generator(
            *(len(heads), heads[0].outputs, ctypes.addressof(stack.described)),
            *(ctypes.addressof(preference.described), ctypes.addressof(self._heads)),
            *(levels.data_ptr(), embedding.data_ptr()),
        )
        self._self = ctypes.byref(self._generator)

    def __call__(
        self,
        plan: Tensor,
        context: list[KeyValue],
        bias: Tensor,
        eligibility: Eligibility,
        width: int,
        cold_discount: float,
        widths: Tensor | None,
        spread: Tensor | None,
    ) -> Beams:
        """plan: (B, C); context: of `Int8Stack.project`; the others as of `beam_search`."""
        tree, batch, plan = eligibility.tree, len(plan), plan.float().contiguous()
        if (
            not batch == len(eligibility) == len(bias)
            or (context and len(context[0][0]) != batch)
            or (tree.depth, tree.codebook_size) != (self._generator.depth, self._generator.codes)
            or width < 1
        ):
            raise ValueError(f"{batch} plans, {width} beams, but rows, bias, keys or a tree of others")
        described = ctypes.byref(self._kernels.asked(eligibility.asked, tree.depth))
        keys, values, length = None, None, 0
        if context:
            keys, values, length = context[0][0].data_ptr(), context[0][1].data_ptr(), context[0][1].shape[-1]
        widths = None if widths is None else widths.int()
        spread = None if spread is None else spread.float().contiguous()
        scores = torch.empty(batch, width, dtype=torch.float32)
        leaves = torch.empty(batch, width, dtype=torch.int64)
        found = self._library.higr_search(
            *(self._self, self._kernels.edges(tree), described, plan.data_ptr()),
            *(keys, values, bias.data_ptr(), length, cold_discount),
            *(_address(spread), width, _address(widths)),
            *(scores.data_ptr(), leaves.data_ptr()),
            self._scratch.pointer(self._library.higr_search_scratch(self._self, described, width, length)),
        )
        if found < width:  # the tree has no more
            scores, leaves = (part.flatten()[: batch * found].view(batch, found) for part in (scores, leaves))
        beams = Beams(leaves, scores)
        return beams if spread is None else by_score(beams)


def _edges(tree: PrefixTree, level: int) -> _Edges:
    nodes, below, table = tree.nodes[level], tree.nodes[level + 1], tree.tables[level]
    same = table is not None and below.spoken is below.code
    return _Edges(
        max(nodes.widest, 1) if table is None else table.shape[1],
        below.count,
        *map(_address, (table, nodes.first, None if same else below.spoken, below.new)),
        *map(_address, (below.items, tree.facts_of(level + 1))),
    )


def _asked(asked: Asked, depth: int) -> tuple[_Asked, "ctypes.Array[_Limits]", list[Tensor]]:
    """As the kernels read it, and what must live as long."""
    kept: list[Tensor] = []

    def address(values: Tensor | None) -> int | None:
        if values is None:
            return None
        kept.append(values.contiguous())
        return kept[-1].data_ptr()

    def described(bits: NodeBits) -> _NodeBits:
        return _NodeBits(*map(address, (bits.table, bits.which, bits.inside, bits.start)))

    limits = (_Limits * depth)()
    none: Sequence[Tensor | None] = [None] * depth
    pinned, paths = asked.pins or (None, none)
    for level, limit in enumerate(limits):
        blocked = asked.blocked.get(level + 1)
        if asked.bits is not None:
            limit.bits = described(asked.bits[level])
        limit.blocked, limit.blocks = address(blocked), 0 if blocked is None else blocked.shape[1]
        limit.pinned, limit.most = address(paths[level]), address(asked.most.get(level + 1))
    rows, taken = asked.slots.shape
    counted = pinned is not None or asked.most or asked.most_of_kind is not None
    words = 0 if asked.bits is None else asked.bits[-1].table.shape[1]
    return (
        _Asked(
            *(rows, depth, words, taken, asked.given, asked.position, taken - asked.given if counted else 0),
            *(asked.slots.data_ptr(), address(pinned), address(asked.most_of_kind)),
            _NodeBits() if asked.items is None else described(asked.items),
            ctypes.addressof(limits),
        ),
        limits,
        kept,
    )


def _address(values: Tensor | None) -> int | None:
    return None if values is None else values.data_ptr()
