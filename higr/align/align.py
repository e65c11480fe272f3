"""Listwise alignment of a pretrained model (arXiv 2512.24787, section 3.3)."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from higr.align.examples import AlignmentSet
from higr.align.guard import Guard
from higr.align.objectives import build_objective
from higr.align.pairs_report import write_report
from higr.catalog import Catalog
from higr.config import RunConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.data.simulator import World
from higr.errors import InputError
from higr.model.higr import HiGR
from higr.progress import Progress, no_progress
from higr.tokenizer.tokenizer import Tokenizer
from higr.training.batches import InMemory
from higr.training.checkpoint import model_identity, named
from higr.training.loop import train

PAIRS_PAGE = "pairs.html"
"""Counts and examples of the training pairs, to be read by people."""


def align(
    model: HiGR,
    data: PreparedData,
    history: HistoryIndex,
    catalog: Catalog,
    tokenizer: Tokenizer,
    config: RunConfig,
    progress: Progress = no_progress,
    directory: Path | None = None,
) -> list[dict[str, Any]]:
    """Align in place on pairs from the training slates of `user_share` of the users, under guard.

    Args:
        tokenizer: its codebooks say what "similar" means to the diversity negative.
        directory: of checkpoints, steps.jsonl, guard.jsonl and pairs.html; None: nothing is written.

    Returns:
        The curve of `higr.training.loop.train`; its first record also holds the counts of pairs.

    Raises:
        InputError: model, catalogue and tokenizer do not belong together, or nothing can be guarded.
    """
    _check_tokenizer(model, catalog, tokenizer)
    settings = config.align
    codebooks = torch.from_numpy(tokenizer.codebooks)
    slates = of_some_users(data.split("train"), settings.user_share, config.seed)
    training, held_out = (
        AlignmentSet.build(part, data, history, catalog, codebooks, model, config)
        for part in (slates, data.split("validation"))
    )
    if directory is not None and training.pairs is not None:
        directory.mkdir(parents=True, exist_ok=True)
        write_report(
            directory / PAIRS_PAGE,
            training.pairs,
            slates,
            data.items,
            catalog,
            codebooks,
            settings.preference,
            training.signals,
        )
    simulated = settings.objective == "f_grpo" and settings.reward == "simulator"
    objective = build_objective(
        model,
        catalog,
        settings,
        slate_size=config.training.target_size,
        disabled=data.disabled,
        world=_world(data, config) if simulated else None,
        users=training.users if simulated else (),
        held_out_users=held_out.users if simulated else (),
    )
    curve = train(
        objective,
        InMemory(training.examples, config.training.shards),
        InMemory(held_out.examples, config.training.shards) if len(held_out.examples) else None,
        config.training.model_copy(
            update={
                "epochs": settings.epochs,
                "batch_size": settings.batch_size,
                "learning_rate": settings.learning_rate,
                "patience": settings.epochs,
            }
        ),
        seed=config.seed,
        label="align",
        extra={**model_identity(model, catalog.code_tensor), **named({"align": settings})},
        directory=directory,
        watch=Guard(model, data, history, catalog, config) if settings.guard.slates else None,
        progress=progress,
    )
    curve[0]["pairs"] = training.counts
    return curve


def _check_tokenizer(model: HiGR, catalog: Catalog, tokenizer: Tokenizer) -> None:
    """Codes of one tokenizer mean nothing to a model of another."""
    for part, built_with in (("catalogue", catalog.tokenizer_id), ("tokenizer", tokenizer.id)):
        if built_with != model.tokenizer_id:
            raise InputError(
                f"align: the model speaks codes of tokenizer {model.tokenizer_id or 'none'}, the {part} is "
                f"of {built_with or 'none'}; pairs would be of other items: take all from one run or bundle"
            )


def _world(data: PreparedData, config: RunConfig) -> World:
    """The one that the log is of, which need not be that of this run's seed."""
    world = World(config.data.simulator, data.report["seed"])
    names = ["item_id", "category"]
    if world.items.table.select(names).to_pydict() != data.items.select(names).to_pydict():
        raise InputError(
            "align.reward is simulator, but the data is not of the world that data.simulator describes; "
            "take the configuration that the data was prepared with"
        )
    return world


def of_some_users(slates: pa.Table, share: float, seed: int) -> pa.Table:
    """The slates of a share of their users, drawn by seed."""
    if share == 1:
        return slates
    users = sorted(set(slates["user_id"].to_pylist()))
    count = max(1, round(share * len(users)))
    chosen = np.random.default_rng(seed).choice(len(users), count, replace=False)
    return slates.filter(pc.is_in(slates["user_id"], pa.array([users[i] for i in sorted(chosen)])))
