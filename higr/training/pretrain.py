"""Pretraining: next-code cross-entropy with teacher forcing (arXiv 2512.24787, section 3.2)."""

from pathlib import Path
from typing import Any

import torch

from higr.catalog import Catalog
from higr.config import RunConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.model.higr import HiGR
from higr.progress import Progress, no_progress
from higr.training.examples import build_examples, fit_profiles
from higr.training.fit import fit


def pretrain(
    data: PreparedData,
    history: HistoryIndex,
    catalog: Catalog,
    config: RunConfig,
    progress: Progress = no_progress,
    directory: Path | None = None,
) -> tuple[HiGR, list[dict[str, Any]]]:
    """Train a model on the training slates, watched on the validation slates.

    Args:
        directory: of checkpoints and the curve of steps; None: nothing is written.

    Returns:
        The model in eval mode, and the curve of `higr.training.loop.train`.
    """
    profiles = fit_profiles(data, history, config.model)
    torch.manual_seed(config.seed)
    model = HiGR(config.model, catalog.depth, catalog.codebook_size, profiles, catalog.tokenizer_id)
    curve = fit(
        model,
        build_examples(data.split("train"), history, catalog, profiles, config),
        build_examples(data.split("validation"), history, catalog, profiles, config),
        catalog.code_tensor,
        config.training,
        config.seed,
        directory=directory,
        progress=progress,
    )
    return model, curve
