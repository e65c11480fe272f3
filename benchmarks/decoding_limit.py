"""What the machine can do, measured in the run: the denominator of the distance to the limit."""

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from benchmarks.decoding_work import BYTES, Work
from higr.decode.engines.native import Int8Linear, Scratch

INNER, OUTER = 1024, 1024
ROWS = (64, 256, 1024)
SECONDS = 0.3
"""That each measurement is repeated for: the best counts, whatever else the machine does."""


@cache
def gemm_peak(kind: str, device: str) -> float:
    """FLOP a second of matrix products by the engines' own kernel: the best of several shapes and repeats.

    Args:
        kind: fp32, bf16, or int8, which is the dynamic linear layer: fp32 in and out.
    """
    best = 0.0
    for rows in ROWS:
        multiply = _product(kind, device, rows)
        best = max(best, 2 * rows * INNER * OUTER / _seconds(multiply, device))
    return best


@cache
def stream(megabytes: int, device: str) -> float:
    """Bytes a second read from a buffer of that size: a small one lies in a cache, as a small model does."""
    buffer = torch.ones(max(1, megabytes) * 250_000, device=device)
    return buffer.nbytes / _seconds(buffer.sum, device)


def limit_seconds(work: Work, parameters: int, kind: str, device: str) -> tuple[float, str]:
    """The least time that the work can take on one thread or one GPU, and what it is bound by.

    Args:
        parameters: of the model; its weights are read at the speed that a buffer of their size has.
        kind: of the weights.
    """
    moved = work.bytes(kind)
    weights_mb = round(parameters * BYTES[kind] / 1e6)
    compute = work.flops / gemm_peak(kind, device)
    memory = moved / stream(weights_mb, device)
    return max((compute, "compute"), (memory, "memory"))


def _product(kind: str, device: str, rows: int) -> Callable[[], Tensor]:
    left, right = torch.randn(rows, INNER), torch.randn(INNER, OUTER) / 32
    if kind == "int8":
        linear = Int8Linear(right.T, Scratch())
        return lambda: linear(left)
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    left, right = left.to(device, dtype), right.to(device, dtype)
    return lambda: left @ right


def _seconds(call: Callable[[], object], device: str) -> float:
    """The best time of a call."""
    best, first = float("inf"), time.perf_counter()
    while time.perf_counter() - first < SECONDS:
        started = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best
