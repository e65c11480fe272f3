"""The matrix products of a computation: recorded once, then run alone to see what they cost by themselves."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Layout = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""Size, stride and type of an operand."""


class Gemms(TorchDispatchMode):
    """While it is entered, remembers every matrix product, forward and backward.

    Fused attention counts as the products it is made of: two forward, five backward (one of them again).
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Layout, Layout]] = []
        self._operands: dict[tuple[Layout, str], Tensor] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: tuple = (), options: dict | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        if name in ("mm", "bmm"):
            self._add(_layout(arguments[0]), _layout(arguments[1]))
        elif name == "addmm":
            self._add(_layout(arguments[1]), _layout(arguments[2]))
        elif name.startswith("_scaled_dot_product"):
            backward = name.endswith("backward")
            q, k, _ = arguments[backward : backward + 3]
            batch, (queries, width), keys = math.prod(q.shape[:2]), q.shape[2:], k.shape[2]
            products = [(queries, width, keys), (queries, keys, width)]
            if backward:
                products += [(keys, queries, width), (queries, width, keys), (keys, queries, width)]
            for rows, inner, columns in products:
                self._add(_dense((batch, rows, inner), q.dtype), _dense((batch, inner, columns), q.dtype))
        return function(*arguments, **(options or {}))

    @property
    def flops(self) -> int:
        """Multiplications and additions of all products."""
        return sum(2 * math.prod(left[0]) * right[0][-1] for left, right in self.calls)

    def run(self, device: torch.device) -> None:
        """All products once, on operands that hold ones."""
        for left, right in self.calls:
            torch.matmul(self._operand(left, "left", device), self._operand(right, "right", device))

    def _add(self, left: Layout, right: Layout) -> None:
        self.calls.append((left, right))

    def _operand(self, layout: Layout, side: str, device: torch.device) -> Tensor:
        size, stride, kind = layout
        if (layout, side) not in self._operands:
            made = torch.empty_strided(size, stride, dtype=kind, device=device)
            self._operands[layout, side] = made.fill_(1)
        return self._operands[layout, side]


def _layout(tensor: Tensor) -> Layout:
    return tuple(tensor.shape), tensor.stride(), tensor.dtype


def _dense(size: tuple[int, ...], kind: torch.dtype) -> Layout:
    return size, torch.empty(size, device="meta").stride(), kind
