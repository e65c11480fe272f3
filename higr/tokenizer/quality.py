"""Figures that say whether semantic IDs can be planned with, before anything is trained on them.

Definitions over groups of items that share a prefix, against the items' category (method of
HiGR's evaluation, arXiv 2512.24787): collision, concentration, consistency. The others are ours.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from higr.config import TokenizerConfig
from higr.tokenizer.balance import Popularity, measure_popularity
from higr.tokenizer.encoding import Encoding
from higr.tokenizer.fidelity import Fidelity, measure_fidelity
from higr.tokenizer.groups import count_cells, pairs, prefix_groups, spread
from higr.tokenizer.stability import Stability, measure_stability

PERCENTILES = (50, 90, 99)
"""Of reconstruction errors."""
YARDSTICK_NOTE = (
    "the category is part of the content (tokenizer.embedding.category_weight > 0), which flatters "
    "concentration and consistency: they are measured against it"
)
ONE_CATEGORY_NOTE = (
    "all items are of one category, which makes concentration and consistency 1 whatever the codes: look at "
    "the neighbours instead, or give the items categories"
)


@dataclass(frozen=True)
class PrefixQuality:
    """How well items under one prefix belong together.

    Attributes:
        depth: codes in the prefix.
        groups: distinct prefixes.
        singletons: share of prefixes that hold one item only: to plan one is to pick its item.
        concentration: sum over groups of the largest category count, over N. Higher is better; 1
            is reached trivially by groups of one.
        consistency: pairs of one category over all pairs within groups. Higher is better; 0 where
            no group has a pair: such prefixes group nothing.
    """

    depth: int
    groups: int
    singletons: float
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
        prefixes: one a depth, 1 to D. At depth D these are whole semantic IDs, most of one item.
        levels: one a codebook.
        reconstruction_error: mean squared distance of the decoded to the content vector; content
            vectors have length 1.
        error_percentiles: of the same distances, by percentile: 50, 90, 99.
        fidelity: codes against content; none where the content was not given.
        stability: against a second training; none where there was none.
        popularity: engagement by first code; none where there is no engagement.
        categories: distinct ones; of a single one concentration and consistency say nothing.
        yardstick_in_content: categories are part of the content, so that concentration and
            consistency measure what was put in.
    """

    items: int
    collision: float
    prefixes: tuple[PrefixQuality, ...]
    levels: tuple[LevelUse, ...]
    reconstruction_error: float
    error_percentiles: dict[int, float]
    categories: int
    fidelity: Fidelity | None = None
    stability: Stability | None = None
    popularity: Popularity | None = None
    yardstick_in_content: bool = False

    @property
    def yardstick_note(self) -> str:
        """What to bear in mind of concentration and consistency; mostly empty."""
        if self.categories == 1:
            return ONE_CATEGORY_NOTE
        return YARDSTICK_NOTE if self.yardstick_in_content else ""

    @property
    def concentration(self) -> float:
        """At depth D - 1."""
        return self.prefixes[-2].concentration

    @property
    def consistency(self) -> float:
        """At depth D - 1."""
        return self.prefixes[-2].consistency

    @property
    def codebook_use(self) -> float:
        """Of the worst level."""
        return min(level.use for level in self.levels)

    def to_json(self) -> dict[str, Any]:
        """All fields and the headline figures, ready for `json.dumps`."""
        headline = {name: getattr(self, name) for name in ("concentration", "consistency", "codebook_use")}
        return asdict(self) | headline

    def to_figures(self) -> dict[str, float | int | str]:
        """Flat names for tables and metrics; what was not measured is left out."""
        figures: dict[str, float | int | str] = {
            "collision": self.collision,
            "concentration": self.concentration,
            "consistency": self.consistency,
            "codebook_use": self.codebook_use,
            "categories": self.categories,
            "yardstick_in_content": "yes" if self.yardstick_in_content else "no",
            "reconstruction_error": self.reconstruction_error,
        }
        # Whole semantic IDs say something where they are shared; else they are groups of one.
        for prefix in self.prefixes if self.collision else self.prefixes[:-1]:
            figures[f"concentration_depth_{prefix.depth}"] = prefix.concentration
            figures[f"consistency_depth_{prefix.depth}"] = prefix.consistency
            figures[f"singleton_prefixes_depth_{prefix.depth}"] = prefix.singletons
        for level, use in enumerate(self.levels, start=1):
            figures |= {f"codebook_use_level_{level}": use.use, f"perplexity_level_{level}": use.perplexity}
        if self.fidelity:
            figures["collision_floor"] = self.fidelity.collision_floor
            figures["identical_content_items"] = self.fidelity.identical
            figures["empty_content_items"] = self.fidelity.empty
            if self.fidelity.explained_variance is not None:
                figures["explained_variance"] = self.fidelity.explained_variance
            figures |= _by_depth("neighbours", self.fidelity.neighbours)
        if self.stability:
            figures |= _by_depth("stability", self.stability.prefixes)
            figures |= _by_depth("stability_rand", self.stability.rand)
        if self.popularity:
            figures["popularity_busiest_share"] = self.popularity.busiest
            figures["popularity_gini"] = self.popularity.gini
            figures["popularity_perplexity"] = self.popularity.perplexity
        return figures


def _by_depth(name: str, values: Sequence[float]) -> dict[str, float]:
    return {f"{name}_depth_{depth}": value for depth, value in enumerate(values, start=1)}


def measure_quality(
    encoding: Encoding,
    items: pa.Table,
    config: TokenizerConfig,
    *,
    content: np.ndarray | None = None,
    second: np.ndarray | None = None,
    engagement: np.ndarray | None = None,
) -> Quality:
    """Quality of the semantic IDs of `items`, the table that was encoded, against its categories.

    content: (N, width) content vectors. second: (N, D) codes by another training. engagement: (N,)
    engaged events an item. What needs one that is not given is left out.
    """
    return measure(
        encoding.codes,
        items["category"].to_pylist(),
        config.codebook_size,
        encoding.errors,
        content=content,
        second=second,
        engagement=engagement,
        yardstick_in_content=config.embedding.category_weight > 0,
    )


def measure(
    codes: np.ndarray,
    categories: Sequence[str],
    codebook_size: int,
    errors: np.ndarray,
    *,
    content: np.ndarray | None = None,
    second: np.ndarray | None = None,
    engagement: np.ndarray | None = None,
    yardstick_in_content: bool = False,
) -> Quality:
    """codes: (N, D) int; categories: N labels; errors: (N,) squared reconstruction errors.

    content: (N, width); second: (N, D) codes by another training; engagement: (N,).
    """
    _, labels = np.unique(np.asarray(categories, dtype=str), return_inverse=True)
    groups = prefix_groups(codes)
    return Quality(
        items=len(codes),
        collision=1.0 - (int(groups[-1].max()) + 1) / len(codes),
        prefixes=tuple(_prefix_quality(depth, group, labels) for depth, group in enumerate(groups, start=1)),
        levels=tuple(_level_use(level, codebook_size) for level in codes.T),
        reconstruction_error=float(np.mean(errors)),
        error_percentiles={p: float(np.percentile(errors, p)) for p in PERCENTILES},
        categories=int(labels.max()) + 1,
        fidelity=None if content is None else measure_fidelity(content, codes, errors),
        stability=None if second is None else measure_stability(codes, second),
        popularity=None if engagement is None else measure_popularity(codes[:, 0], engagement, codebook_size),
        yardstick_in_content=yardstick_in_content,
    )


def _prefix_quality(depth: int, group: np.ndarray, labels: np.ndarray) -> PrefixQuality:
    sizes = np.bincount(group)
    holder, _, counts = count_cells(group, labels)
    largest = np.maximum.reduceat(counts, np.flatnonzero(np.diff(holder, prepend=-1)))
    all_pairs = int(pairs(sizes).sum())
    return PrefixQuality(
        depth=depth,
        groups=len(sizes),
        singletons=float((sizes == 1).mean()),
        concentration=float(largest.sum() / len(group)),
        consistency=float(pairs(counts).sum() / all_pairs) if all_pairs else 0.0,
    )


def _level_use(codes: np.ndarray, codebook_size: int) -> LevelUse:
    counts = np.bincount(codes, minlength=codebook_size)
    return LevelUse(use=float((counts > 0).sum() / codebook_size), perplexity=spread(counts))
