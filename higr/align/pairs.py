"""Preference pairs: a slate the user would rather have had, and a worse one (arXiv 2512.24787, section 3.3).

The positive is the engaged items, strongest first. What is wrong with the rejected slate is its kind:

    ranking           the positive, shuffled                                       (order matters)
    interest          exposed, unengaged items in place of the positive's          (taste matters)
    diversity         the positive's first item, then items like it                (variety matters)
    on_policy         the model's own slate, where it holds less of what was liked (its own faults)
    freshness,        similar items that are older, of creators shown more,        (the business matters)
    creator_exposure,   or worth less, in place of the positive's
    value

The paper names the first three; how they are mixed and everything else is not reported by it.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from higr.align.candidates import Candidates
from higr.align.draws import uniform
from higr.align.mixture import NEGATIVES, OF_SIGNALS, Mixture
from higr.align.negatives import exchanged, filled, shuffled, uninteresting
from higr.align.signals import Signals
from higr.align.similar import quantised_vectors, similarity_order
from higr.catalog import Catalog
from higr.config import PreferenceConfig, TrainingConfig
from higr.errors import InputError
from higr.training.exposures import PADDING, exposures

__all__ = ["NEGATIVES", "Pairs", "build_pairs"]

SLICE = 4096
"""Pairs whose similar items are looked at together."""


@dataclass(frozen=True)
class Pairs:
    """Attributes:
    rows: (P,) int64, the slate each pair comes from, ascending.
    chosen: (P, M) int64 catalogue positions, best first, PADDING behind the end.
    rejected: (P, M) int64, as long as `chosen` and of other semantic IDs.
    kinds: (P,) int8, index into NEGATIVES.
    counts: pairs of each kind, and skipped slates by reason (`higr.align.mixture`); skipped_same_codes
        are those whose two slates the model could not tell apart.
    """

    rows: Tensor
    chosen: Tensor
    rejected: Tensor
    kinds: Tensor
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.rows)


def build_pairs(
    slates: pa.Table,
    catalog: Catalog,
    codebooks: Tensor,
    config: PreferenceConfig,
    training: TrainingConfig,
    seed: int,
    *,
    signals: Signals | None = None,
    own: Tensor | None = None,
) -> Pairs:
    """One pair a slate, its kind drawn by the configured weights among those the slate allows.

    A slate's pair depends on the slate, its row and the seed alone.

    Args:
        slates: S rows of `SLATES`.
        codebooks: (D, K, latent) of the tokenizer: what "similar" means.
        training: `target_size` is M, `min_engaged` the shortest positive.
        signals: of these slates; needed where config.signals is not empty.
        own: (S, any) int64 catalogue positions, the model's own slates, PADDING behind the end; needed
            where config.on_policy is not 0. They are cut at the positive's length.

    Raises:
        InputError: signals or own slates are needed and missing, or are those of other slates.
    """
    _check(slates, catalog, config, signals, own)
    mixture = Mixture(config, training, len(catalog), signals)
    counts: Counter[str] = Counter()
    parts = [_no_pairs(training.target_size)]
    for shown in exposures(slates, catalog):
        candidates = Candidates.of(shown, config, training, signals, own)
        kinds, skipped = mixture.draw(candidates, seed)
        rejected = _rejected(candidates, kinds, config, seed)
        columns = (candidates.rows, candidates.positives, rejected, kinds)
        parts.append(tuple(column[kinds >= 0] for column in columns))
        counts.update(skipped)
    rows, chosen, rejected, kinds = (np.concatenate(column) for column in zip(*parts, strict=True))
    _fill_similar(chosen, rejected, kinds, quantised_vectors(catalog, codebooks), config, signals)

    semantic_id = _semantic_ids(catalog)
    differ = (semantic_id[chosen] != semantic_id[rejected]).any(axis=1)
    found = np.bincount(kinds[differ], minlength=len(NEGATIVES)).tolist()
    named = {kind: count for kind, count in zip(NEGATIVES, found, strict=True) if count}
    if not differ.all():
        counts["skipped_same_codes"] = int((~differ).sum())
    return Pairs(
        torch.from_numpy(rows[differ]),
        torch.from_numpy(chosen[differ]),
        torch.from_numpy(rejected[differ]),
        torch.from_numpy(kinds[differ]),
        {**named, **dict(sorted(counts.items()))},
    )


def _check(
    slates: pa.Table,
    catalog: Catalog,
    config: PreferenceConfig,
    signals: Signals | None,
    own: Tensor | None,
) -> None:
    """Raise `InputError` where what the configuration asks for is missing."""
    count = slates.num_rows
    missing = [s.kind for s in config.signals if signals is None or s.kind not in signals.levels]
    if missing:
        raise InputError(
            f"align.preference.signals names {', '.join(missing)}, but no such signal is given with the "
            "slates; build it with Signals.build, or remove it"
        )
    if config.signals and signals is not None and len(signals.moments) != count:
        raise InputError(
            f"signals are of {len(signals.moments)} slates, {count} are given; build them of the same table"
        )
    if config.on_policy and own is None:
        raise InputError(
            f"align.preference.on_policy is {config.on_policy:g}, but the model's own slates are missing; "
            "decode one a slate, or set it to 0"
        )
    if own is not None and (own.ndim != 2 or len(own) != count):
        raise InputError(
            f"own slates are of shape {tuple(own.shape)}; one row a slate is due, ({count}, length)"
        )
    if own is not None and own.numel() and not PADDING <= own.min() <= own.max() < len(catalog):
        raise InputError(
            f"own slates hold {int(own.min())}..{int(own.max())}, the catalogue has the positions "
            f"0..{len(catalog) - 1}; decode them with this catalogue"
        )


def _no_pairs(size: int) -> tuple[np.ndarray, ...]:
    """Rows, chosen, rejected and kinds of no pair."""
    none = np.empty((0, size), np.int64)
    return np.empty(0, np.int64), none, none, np.empty(0, np.int8)


def _rejected(candidates: Candidates, kinds: np.ndarray, config: PreferenceConfig, seed: int) -> np.ndarray:
    """(R, M); PADDING alone where the slate has no kind, or one that needs similar items."""
    rejected = np.full_like(candidates.positives, PADDING)
    for number, kind in enumerate(NEGATIVES):
        mine = np.flatnonzero(kinds == number)
        rows, positives, lengths = (
            column[mine] for column in (candidates.rows, candidates.positives, candidates.lengths)
        )

        def keys(which: np.ndarray, draw: int, rows: np.ndarray = rows) -> np.ndarray:
            return uniform(seed, 1 + draw, rows[which], rejected.shape[1])

        if kind == "ranking":
            rejected[mine] = shuffled(positives, lengths, config.disorder, keys)
        elif kind == "interest":
            unengaged = candidates.unengaged[mine]
            rejected[mine] = uninteresting(positives, lengths, unengaged, config.interest_share, keys)
        elif kind == "on_policy":
            rejected[mine] = candidates.own[mine]
    return rejected


def _fill_similar(
    chosen: np.ndarray,
    rejected: np.ndarray,
    kinds: np.ndarray,
    vectors: Tensor,
    config: PreferenceConfig,
    signals: Signals | None,
) -> None:
    """Fill the rejected slates that need similar items in place, each item's looked up once."""
    size = chosen.shape[1]
    for number, kind in enumerate(NEGATIVES):
        mine = np.flatnonzero(kinds == number)
        slates = chosen[mine]
        if kind == "diversity":
            asked = np.unique(slates[:, 0])
            # As many as the slate can hold, and as many as the positive may already have of them.
            similar = similarity_order(vectors, asked, 2 * (size - 1), config.diversity_form)
            for part in _slices(mine):
                similar_to_first = similar[np.searchsorted(asked, chosen[part, 0])]
                lengths = (chosen[part] != PADDING).sum(axis=1)
                rejected[part] = filled(chosen[part], lengths, similar_to_first)
        elif kind in OF_SIGNALS and signals is not None and len(mine):
            asked = np.unique(slates[slates != PADDING])
            # One more than the positive's others and what took their places.
            similar = similarity_order(vectors, asked, 2 * size - 1, levels=signals.levels[kind])
            for part in _slices(mine):
                lower = similar[np.minimum(np.searchsorted(asked, chosen[part]), len(asked) - 1)]
                rejected[part] = exchanged(chosen[part], lower)


def _slices(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + SLICE] for start in range(0, len(rows), SLICE)]


def _semantic_ids(catalog: Catalog) -> np.ndarray:
    """(N + 1,) a number for each item's codes, and PADDING's: items of one number look alike to the model."""
    differs = (catalog.codes[1:] != catalog.codes[:-1]).any(axis=1)
    return np.concatenate([[0], differs.cumsum(), [PADDING]])
