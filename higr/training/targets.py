"""Target slates: what the model should have shown (arXiv 2512.24787, section 3.2, pretraining).

The engaged items of a logged slate, strongest feedback first. The paper's view-duration thresholds
are not reported; `TrainingConfig.min_engaged` stands for them.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.config import TrainingConfig
from higr.data.schemas import Feedback
from higr.training.exposures import PADDING, cut, exposures, to_front

__all__ = ["PADDING", "Targets", "build_targets"]


@dataclass(frozen=True)
class Targets:
    """Attributes:
    rows: (T,) int64, the slate each target comes from.
    items: (T, M) int64 catalogue positions, best first, PADDING behind the end; in alignment (T, 2, M),
        a chosen and a rejected slate.
    """

    rows: Tensor
    items: Tensor

    def __len__(self) -> int:
        return len(self.rows)


def build_targets(slates: pa.Table, catalog: Catalog, config: TrainingConfig) -> Targets:
    """One target a slate that has enough engaged items of the catalogue."""
    rows, targets = [np.empty(0, np.int64)], [np.empty((0, config.target_size), np.int64)]
    for shown in exposures(slates, catalog):
        known = shown.items != PADDING
        engaged = known & (shown.feedback >= Feedback.ENGAGED)
        kept = engaged
        if config.pad_with_exposed:
            kept = engaged | (known & (shown.feedback == Feedback.EXPOSED))
        best_first = to_front(shown.items, kept, ~engaged, np.where(engaged, -shown.strength, 0.0))
        enough = engaged.sum(axis=1) >= config.min_engaged
        rows.append(shown.rows[enough])
        targets.append(cut(best_first[enough], config.target_size))
    return Targets(torch.from_numpy(np.concatenate(rows)), torch.from_numpy(np.concatenate(targets)))
