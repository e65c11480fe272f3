"""Figures that say whether semantic IDs can be planned with, before anything is trained on them.

Definitions over groups of items that share a prefix, against the items' category (method of
HiGR's evaluation, arXiv 2512.24787): collision, concentration, consistency.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from higr.config import TokenizerConfig
from higr.tokenizer.encoding import Encoding


@dataclass(frozen=True)
class PrefixQuality:
    """How well items under one prefix belong together.

    Attributes:
        depth: codes in the prefix.
        groups: distinct prefixes.
        concentration: sum over groups of the largest category count, over N. Higher is better; 1
            is reached trivially by groups of one.
        consistency: pairs of one category over all pairs within groups. Higher is better; 0 where
            no group has a pair: such prefixes group nothing.
    """

    depth: int
    groups: int
    concentration: float
    consistency: float


@dataclass(frozen=True)
class LevelUse:
    """How one codebook is used.

    Attributes:
        use: used codewords over K.
        perplexity: exp of the entropy of usage, 1 to K; K is an even spread.
    """

    use: float
    perplexity: float


@dataclass(frozen=True)
class Quality:
    """Quality of the semantic IDs of a set of items, before the collision policy.

    Attributes:
        items: N.
        collision: 1 - distinct semantic IDs / N, lower is better.
        prefixes: one a depth, 1 to D - 1.
        levels: one a codebook.
        reconstruction_error: mean squared distance of the decoded to the content vector; content
            vectors have length 1.
    """

    items: int
    collision: float
    prefixes: tuple[PrefixQuality, ...]
    levels: tuple[LevelUse, ...]
    reconstruction_error: float

    @property
    def concentration(self) -> float:
        """At depth D - 1."""
        return self.prefixes[-1].concentration

    @property
    def consistency(self) -> float:
        """At depth D - 1."""
        return self.prefixes[-1].consistency

    @property
    def codebook_use(self) -> float:
        """Of the worst level."""
        return min(level.use for level in self.levels)

    def to_json(self) -> dict[str, Any]:
        """All fields and the headline figures, ready for `json.dumps`."""
        headline = {name: getattr(self, name) for name in ("concentration", "consistency", "codebook_use")}
        return asdict(self) | headline


def measure_quality(encoding: Encoding, items: pa.Table, config: TokenizerConfig) -> Quality:
    """Quality of the semantic IDs of `items`, the table that was encoded, against its categories."""
    categories = items["category"].to_pylist()
    return measure(encoding.codes, categories, config.codebook_size, encoding.errors)


def measure(codes: np.ndarray, categories: Sequence[str], codebook_size: int, errors: np.ndarray) -> Quality:
    """codes: (N, D) int; categories: N labels; errors: (N,) squared reconstruction errors."""
    count, depth = codes.shape
    _, labels = np.unique(np.asarray(categories, dtype=str), return_inverse=True)
    return Quality(
        items=count,
        collision=1.0 - len(np.unique(codes, axis=0)) / count,
        prefixes=tuple(_prefix_quality(codes[:, :d], labels) for d in range(1, depth)),
        levels=tuple(_level_use(codes[:, d], codebook_size) for d in range(depth)),
        reconstruction_error=float(np.mean(errors)),
    )


def _prefix_quality(prefixes: np.ndarray, labels: np.ndarray) -> PrefixQuality:
    _, group = np.unique(prefixes, axis=0, return_inverse=True)
    group = group.ravel()
    groups = int(group.max()) + 1
    cells, counts = np.unique(np.column_stack([group, labels]), axis=0, return_counts=True)
    largest = np.zeros(groups, np.int64)
    np.maximum.at(largest, cells[:, 0], counts)
    pairs = _pairs(np.bincount(group)).sum()
    return PrefixQuality(
        depth=prefixes.shape[1],
        groups=groups,
        concentration=float(largest.sum() / len(group)),
        consistency=float(_pairs(counts).sum() / pairs) if pairs else 0.0,
    )


def _pairs(counts: np.ndarray) -> np.ndarray:
    return counts * (counts - 1) // 2


def _level_use(codes: np.ndarray, codebook_size: int) -> LevelUse:
    counts = np.bincount(codes, minlength=codebook_size)
    share = counts[counts > 0] / len(codes)
    return LevelUse(
        use=float((counts > 0).sum() / codebook_size),
        perplexity=float(np.exp(-(share * np.log(share)).sum())),
    )
