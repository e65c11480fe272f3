"""Semantic IDs of the live catalogue against those of the catalogue that the model was trained with."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.stats import binomtest

from higr.bundle import TRAINED, Bundle
from higr.errors import InputError
from higr.files import read_table
from higr.tokenizer.groups import prefix_groups, spread
from higr.tokenizer.quality import Quality, measure
from monitoring.signals import Cells, jensen_shannon, psi

MIN_NEW = 20
"""New items that are needed to speak of them."""
TAIL = 99
"""Percentile of the reference's quantisation errors beyond which an item is far from what the tokenizer
knows."""


@dataclass(frozen=True)
class Figure:
    """One figure of the catalogue, `relative` or not; `p`: chance of it in a sound catalogue, where it is
    known."""

    name: str
    words: str
    now: float
    expected: float
    relative: bool
    watch: float
    page: float
    p: float = 0.0

    @property
    def move(self) -> float:
        gone = self.now - self.expected
        return gone / max(abs(self.expected), 1e-9) if self.relative else gone


@dataclass(frozen=True)
class CatalogueFigures:
    """figures: what there is to say. items, new: how many. notes: what could not be measured."""

    figures: tuple[Figure, ...]
    items: int
    new: int
    notes: tuple[str, ...]


def catalogue_figures(bundle: Bundle) -> CatalogueFigures:
    """Per level code distribution, use, perplexity and entropy under the prefix; collision, concentration and
    consistency; quantisation error of items that came after training; share that can be reached."""
    live = bundle.catalog
    ids, codes = list(live.item_ids), live.codes
    trained_ids = ids
    if TRAINED in bundle.manifest.files:
        trained_ids = read_table(bundle.path / TRAINED, ["item_id"])["item_id"].to_pylist()
    trained = bundle.trained_codes
    category = dict(zip(*(bundle.items[c].to_pylist() for c in ("item_id", "category")), strict=True))
    size = live.codebook_size
    now = measure(codes, [category[i] for i in ids], size, np.zeros(len(ids)))
    still = [i for i, item in enumerate(trained_ids) if item in category]
    before = (
        measure(trained[still], [category[trained_ids[i]] for i in still], size, np.zeros(len(still)))
        if still
        else now
    )
    figures = [*_levels(codes, trained, now, before, size), *_groups(now, before)]
    reachable = 1 - len(bundle.disabled & set(ids)) / len(ids)
    figures.append(
        Figure("sid_reachable", "Share of the catalogue that can be served", reachable, 1.0, True, 0.2, 0.5)
    )
    new = [item for item in ids if item not in set(trained_ids)] if trained_ids is not ids else []
    figures.append(
        Figure(
            "sid_new_items", "Share of the catalogue that is new", len(new) / len(ids), 0.0, False, 0.2, 0.5
        )
    )
    errors, notes = _errors(bundle, new)
    return CatalogueFigures((*figures, *errors), len(ids), len(new), notes)


def conditional_entropy(codes: np.ndarray) -> list[float]:
    """Nats of each code given those before it, from the first level on. codes: (N, D)."""
    entropies = [0.0, *(float(np.log(spread(np.bincount(group)))) for group in prefix_groups(codes))]
    return [high - low for low, high in pairwise(entropies)]


def _levels(codes: np.ndarray, trained: np.ndarray, now: Quality, before: Quality, size: int) -> list[Figure]:
    figures = []
    entropies = zip(conditional_entropy(codes), conditional_entropy(trained), strict=True)
    for d, (given, given_before) in enumerate(entropies):
        level = d + 1
        new, old = (
            Cells(
                tuple(map(str, range(size))), np.bincount(c[:, d], minlength=size)[None], np.zeros((1, size))
            )
            for c in (codes, trained)
        )
        by_chance = size / len(codes)  # of a sample from one distribution: (cells - 1) / rows
        figures += [
            Figure(
                f"sid_psi_level_{level}",
                f"PSI of code {level}",
                float(psi(new, old)[0]),
                by_chance,
                False,
                0.1,
                0.25,
            ),
            Figure(
                f"sid_js_level_{level}",
                f"Jensen-Shannon divergence of code {level}",
                float(jensen_shannon(new, old)[0]),
                0.0,
                False,
                0.1,
                0.25,
            ),
            Figure(
                f"sid_use_level_{level}",
                f"Use of codebook {level}",
                now.levels[d].use,
                before.levels[d].use,
                True,
                0.2,
                0.4,
            ),
            Figure(
                f"sid_perplexity_level_{level}",
                f"Perplexity of codebook {level}",
                now.levels[d].perplexity,
                before.levels[d].perplexity,
                True,
                0.2,
                0.4,
            ),
            Figure(
                f"sid_entropy_level_{level}",
                f"Entropy of code {level} under its prefix",
                given,
                given_before,
                True,
                0.3,
                0.6,
            ),
        ]
    return figures


def _groups(now: Quality, before: Quality) -> list[Figure]:
    return [
        Figure(
            "sid_collision",
            "Items that share a semantic ID",
            now.collision,
            before.collision,
            False,
            0.05,
            0.15,
        ),
        Figure(
            "sid_concentration",
            "Concentration of categories under prefixes",
            now.concentration,
            before.concentration,
            True,
            0.1,
            0.25,
        ),
        Figure(
            "sid_consistency",
            "Consistency of categories under prefixes",
            now.consistency,
            before.consistency,
            True,
            0.2,
            0.4,
        ),
    ]


def _errors(bundle: Bundle, new: list[str]) -> tuple[list[Figure], tuple[str, ...]]:
    if len(new) < MIN_NEW:
        return [], ()
    rows = pd.Index(bundle.items["item_id"].to_pylist()).get_indexer(pd.Index(new))
    try:
        tokenizer = bundle.tokenizer
        errors = tokenizer.encode(bundle.items.take(pa.array(rows))).errors
    except InputError as error:
        return [], (f"catalogue: quantisation errors of new items were not measured: {error}",)
    quantiles = tokenizer.error_quantiles
    far = int((errors > quantiles[TAIL]).sum())
    p = float(binomtest(far, len(errors), 0.05, alternative="greater").pvalue)
    return [
        Figure(
            "sid_new_error",
            "Quantisation error of new items (median)",
            float(np.median(errors)),
            float(quantiles[50]),
            True,
            1.0,
            3.0,
        ),
        Figure(
            "sid_new_far",
            "New items further from the codebooks than 99 % of the old ones",
            far / len(errors),
            0.01,
            False,
            0.15,
            0.3,
            p,
        ),
    ], ()
