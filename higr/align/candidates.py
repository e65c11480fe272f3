"""What logged slates offer to make pairs of: their positives, and what was exposed without engagement."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from higr.align.negatives import among
from higr.align.signals import Signals
from higr.catalog import Catalog
from higr.config import PreferenceConfig, TrainingConfig
from higr.data.schemas import Feedback
from higr.training.exposures import PADDING, Exposures, cut, exposures, to_front
from higr.training.targets import Targets


@dataclass(frozen=True)
class Candidates:
    """Of R slates; all items are catalogue positions, PADDING behind the end.

    Attributes:
        rows: (R,) int64, the slates' rows in their table.
        engaged: (R,) engaged items.
        positives: (R, M) the strongest of them, strongest first.
        lengths: (R,) of the positives.
        unengaged: (R, L) the others exposed, negatively received first, then in order of exposure.
        own: (R, M) the model's own slates, cut at the positives' lengths; empty where none are given.
        own_is_worse: (R,) bool: the strengths of the logged slate's engaged items that the model's own
            slate holds add up to less than the positive's.
    """

    rows: np.ndarray
    engaged: np.ndarray
    positives: np.ndarray
    lengths: np.ndarray
    unengaged: np.ndarray
    own: np.ndarray
    own_is_worse: np.ndarray

    @classmethod
    def of(
        cls,
        shown: Exposures,
        config: PreferenceConfig,
        training: TrainingConfig,
        signals: Signals | None,
        own: Tensor | None,
    ) -> Self:
        """Strength is the logged one and the signals, weighted as configured.

        Of an item exposed twice in a slate the better received exposure counts.
        """
        engaged = (shown.items != PADDING) & (shown.feedback >= Feedback.ENGAGED)
        strength = config.logged * shown.strength
        for signal in config.signals:
            if signals is not None and signal.strength:
                strength += signal.strength * signals.values(signal.kind, shown.rows, shown.items)
        strength[~engaged] = 0.0
        items = _once(shown.items, np.where(engaged, strength, -1.0))
        engaged &= items != PADDING

        number, size = engaged.sum(axis=1), training.target_size
        positives = cut(to_front(items, engaged, -strength), size)
        lengths = np.minimum(number, size)
        slates = np.full_like(positives, PADDING)
        if own is not None:
            given = own[shown.rows].numpy().astype(np.int64)
            slates = np.where(np.arange(size) < lengths[:, None], cut(given, size), PADDING)
        worth, due = ((among(items, slate) * strength).sum(axis=1) for slate in (slates, positives))
        unengaged = to_front(items, (items != PADDING) & ~engaged, shown.feedback)
        return cls(shown.rows, number, positives, lengths, unengaged, slates, worth < due)


def positives(
    slates: pa.Table,
    catalog: Catalog,
    config: PreferenceConfig,
    training: TrainingConfig,
    signals: Signals | None,
) -> Targets:
    """The positives alone, of the slates with at least `training.min_engaged` engaged items."""
    rows, items = [np.empty(0, np.int64)], [np.empty((0, training.target_size), np.int64)]
    for shown in exposures(slates, catalog):
        candidates = Candidates.of(shown, config, training, signals, None)
        enough = candidates.engaged >= training.min_engaged
        rows.append(candidates.rows[enough])
        items.append(candidates.positives[enough])
    return Targets(torch.from_numpy(np.concatenate(rows)), torch.from_numpy(np.concatenate(items)))


def _once(items: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(R, L) PADDING in place of an item's exposures but the one of highest score, the first of equals."""
    ordered = np.sort(items, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING)).any(axis=1)
    if not twice.any():
        return items
    items = items.copy()
    some, scores = items[twice], score[twice]
    same = some[:, :, None] == some[:, None, :]
    lower = scores[:, :, None] < scores[:, None, :]
    later = (scores[:, :, None] == scores[:, None, :]) & np.tri(items.shape[1], k=-1, dtype=bool)
    items[twice] = np.where((same & (lower | later)).any(axis=2), PADDING, some)
    return items
