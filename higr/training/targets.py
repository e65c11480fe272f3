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

PADDING = -1


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
    rows, targets = [], []
    columns = (slates[name].to_pylist() for name in ("item_ids", "feedback", "strength"))
    for row, (items, feedback, strength) in enumerate(zip(*columns, strict=True)):
        known = [i for i, item in enumerate(items) if item in catalog.position]
        engaged = [i for i in known if feedback[i] >= Feedback.ENGAGED]
        if len(engaged) < config.min_engaged:
            continue
        order = sorted(engaged, key=lambda i: -strength[i])
        if config.pad_with_exposed:
            order += [i for i in known if feedback[i] == Feedback.EXPOSED]
        chosen = [catalog.position[items[i]] for i in order[: config.target_size]]
        rows.append(row)
        targets.append(chosen + [PADDING] * (config.target_size - len(chosen)))
    return Targets(
        torch.tensor(rows, dtype=torch.int64),
        torch.from_numpy(np.array(targets, dtype=np.int64).reshape(-1, config.target_size)),
    )
