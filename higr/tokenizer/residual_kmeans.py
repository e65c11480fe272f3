"""RQ-KMeans and its balanced form: codebooks of residual k-means on the content vectors, no encoder.

Balanced (OneRec, arXiv 2502.18965): every codeword of a level takes equally many items. OneRec lets
one cluster after another take its share, which places only the items it was run on. Here the shares
come of prices: an item takes the codeword of least squared distance plus price, and the prices are
those at which all are asked for alike (the dual of optimal transport). So new items are placed by
the rule that placed the old ones.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from higr.progress import Progress
from higr.tokenizer.quantizer import Codes
from higr.tokenizer.residual import blocks, kmeans, nearest, residual_codes, sum_codewords

SAMPLE = 256
"""Vectors a codeword that codebooks are fitted to, at most; evenly spaced."""
CELLS = 1 << 25
"""Distances that prices are found from at once, at most, as long as there are two vectors a codeword:
256 MB in double precision, and four such matrices live at once."""
ROUNDS = 10
"""Turns of prices and means a level."""
SOFTNESS = tuple(0.5**n for n in range(1, 13))
"""Temperatures of the assignment that prices are found at, over the mean distance; one after another."""
WARM = SOFTNESS[-4:]
"""Those that are enough where prices are nearly right already."""
TURNS = 8
"""Corrections of all prices at each."""
RAISES = 50
"""Corrections of single prices, a codeword, that follow at most."""


class ResidualKMeans:
    """Codebooks, and prices that are 0 where items are not shared out.

    codebooks: (D, K, width) float32. prices: (D, K) float32.
    """

    def __init__(self, codebooks: np.ndarray, prices: np.ndarray) -> None:
        self.codebooks, self.prices = codebooks, prices

    @property
    def width(self) -> int:
        return int(self.codebooks.shape[2])

    @torch.inference_mode()
    def encode(self, x: np.ndarray) -> Codes:
        """See `Quantizer.encode`; the latents are `x` itself."""
        books, prices = torch.from_numpy(self.codebooks), torch.from_numpy(self.prices)
        codes, errors = np.empty((len(x), len(books)), np.int32), np.empty(len(x), np.float32)
        start = 0
        for block in blocks(x):
            rows = slice(start, start + len(block))
            found, quantised = residual_codes(block, books, prices)
            codes[rows], errors[rows] = found.numpy(), (block - quantised).square().sum(dim=-1).numpy()
            start += len(block)
        return Codes(codes, np.asarray(x, dtype=np.float32), errors)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """See `Quantizer.decode`."""
        books = torch.from_numpy(self.codebooks)
        return sum_codewords(torch.from_numpy(codes.astype(np.int64)), books).numpy()

    def state(self) -> dict[str, np.ndarray]:
        """See `Quantizer.state`."""
        return {"codebooks": self.codebooks, "prices": self.prices}


@torch.inference_mode()
def fit_residual_kmeans(
    x: np.ndarray,
    depth: int,
    size: int,
    seed: int,
    *,
    balanced: bool = False,
    progress: Progress | None = None,
) -> ResidualKMeans:
    """k-means on the content vectors, then on what each level leaves.

    x: (N, width), may be a memory map; N at least `size`. The largest of its samples is in memory.
    """
    residual = torch.cat(list(blocks(evenly(x, size, balanced=balanced))))
    books = np.empty((depth, size, residual.shape[1]), np.float32)
    prices = np.zeros((depth, size), np.float32)
    for level in range(depth):
        centres = torch.from_numpy(kmeans(residual.numpy(), size, seed + level))
        own = torch.zeros(size)
        if balanced:
            centres, own = share_out(residual, centres)
        residual = residual - centres[nearest(residual, centres, own)]
        books[level], prices[level] = centres.numpy(), own.numpy()
        if progress is not None:
            progress("tokenizer", level + 1, depth)
    return ResidualKMeans(books, prices)


def evenly(x: np.ndarray, size: int, *, balanced: bool) -> np.ndarray:
    """As many evenly spaced rows of (N, width) as a fit of `size` codewords looks at."""
    most = SAMPLE * size
    if balanced:
        most = min(most, max(2 * size, CELLS // size))
    return x[:: -(-len(x) // most)]


def share_out(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (K, C) and prices (K,) at which each of K codewords is nearest to about N / K points.

    points: (N, C). centres: (K, C) to begin with. Lloyd's iteration, with prices found anew each turn.
    """
    points, centres = points.double(), centres.double()
    prices = centres.new_zeros(len(centres))
    for turn in range(ROUNDS):
        prices = fair_prices(points, centres, prices, WARM if turn else SOFTNESS)
        code = nearest(points, centres, prices)
        counts = torch.bincount(code, minlength=len(centres))
        sums = torch.zeros_like(centres).index_add_(0, code, points)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
    return centres.float(), fair_prices(points, centres, prices).float()


def fair_prices(
    points: Tensor, centres: Tensor, prices: Tensor, softness: Sequence[float] = SOFTNESS
) -> Tensor:
    """(K,) prices at which all K codewords are asked for alike.

    Sinkhorn's iteration on ever harder assignments: a codeword that is asked for too much becomes
    dearer by the temperature times the logarithm of the excess. What is left of it then is settled one
    codeword at a time.
    """
    cost = torch.cdist(points, centres).square()  # (N, K)
    scale, share = float(cost.mean()), len(points) / len(centres)
    if scale == 0:  # every point is every centre: whom to send where is all the same
        return prices
    for soft in softness:
        for _ in range(TURNS):
            demand = torch.softmax(-(cost + prices) / (soft * scale), dim=1).sum(dim=0)
            prices = prices + soft * scale * (demand.clamp(min=1e-9) / share).log()
    prices = prices - prices.mean()
    return torch.from_numpy(_settle(cost.numpy(), prices.numpy(), math.ceil(share)))


def _settle(cost: np.ndarray, prices: np.ndarray, most: int) -> np.ndarray:
    """Raise prices until no codeword is asked for by more than `most` points, as an auction would.

    cost: (N, K). Points that would pay the same, as those of equal content do, stay or go together:
    where the last that may stay and the first that may not are such, all of them stay, and the codeword
    may keep that many. The auction is closed after `RAISES` raises a codeword.
    """
    size = len(prices)
    prices = prices.copy()
    code = (cost + prices).argmin(axis=1)
    counts = np.bincount(code, minlength=size)
    limits = np.full(size, most)
    for _ in range(RAISES * size):
        dear = int((counts - limits).argmax())
        if counts[dear] <= limits[dear]:
            break
        rows = np.flatnonzero(code == dear)
        own = cost[rows]
        others = own + prices
        others[:, dear] = np.inf
        # What each would pay before it turned away; those who would pay most stay.
        bid = np.sort(others.min(axis=1) - own[:, dear])[::-1]
        between = (bid[:-1] + bid[1:]) / 2
        stay = 1 + np.flatnonzero((bid[1:] < between) & (between < bid[:-1]))
        stay = stay[stay >= limits[dear]]
        limits[dear] = stay[0] if len(stay) else counts[dear]
        if len(stay):
            prices[dear] = between[stay[0] - 1]
            code[rows] = (own + prices).argmin(axis=1)
            counts = np.bincount(code, minlength=size)
    return prices
