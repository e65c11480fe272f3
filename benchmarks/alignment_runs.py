"""One alignment of one pretrained model with one seed, and its slates measured.

Models are pretrained once a seed and kept; all alignments of a seed start from the same one. What was
measured is kept, too: a run that was stopped goes on.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmarks.quality_data import Prepared, digest
from benchmarks.quality_models import latest_slates
from higr.align.align import align, of_some_users
from higr.align.guard import guard_figures
from higr.align.signals import Signals
from higr.catalog import Catalog
from higr.config import PreferenceConfig, RunConfig
from higr.data.simulator import World
from higr.decode.recommender import HiGRRecommender
from higr.evaluation.measured import Measured
from higr.files import atomic_directory, read_json, write_json
from higr.model.higr import HiGR
from higr.slate import Slate
from higr.training.examples import build_examples, fit_profiles
from higr.training.fit import fit
from higr.training.targets import PADDING

NONE, CONTINUED = "none", "continued"
"""Rows without alignment: as pretrained, and pretrained further on the slates that others are aligned on."""
SIGNALS = ("creator_exposure", "freshness")
WATCH = "watch_seconds"
"""Seconds the simulated user is expected to watch of a slate (`World.expected_watch`)."""


@dataclass(frozen=True)
class Job:
    """Attributes:
    dataset: name of a `Prepared`.
    row: of the table; NONE and CONTINUED are no alignments.
    seed: of everything.
    align: fields of the configuration's section `align`.
    split: validation when a setting is chosen, test at the end.
    sizes: lengths of slates that are measured.
    most: slates that are measured at most.
    training_slates: the latest ones, of pretraining and alignment; 0: all.
    """

    dataset: str
    row: str
    seed: int
    align: Mapping[str, Any]
    split: str = "test"
    sizes: tuple[int, ...] = (5, 10)
    most: int = 20_000
    training_slates: int = 0

    def folder(self, data: Prepared) -> Path:
        """Where its results are: named after all that they depend on, code included."""
        return data.results / f"{self.row}-{self.split}-{self.seed}-{digest(asdict(self))}"

    @property
    def name(self) -> str:
        return self.row

    def complete(self, data: Prepared) -> None:
        """Align and measure, unless that was done before."""
        path = self.folder(data)
        if (path / "figures.json").is_file():
            return
        path.mkdir(parents=True, exist_ok=True)
        config = _configuration(data, self.seed, self.align)
        catalog = data.catalog(self.seed)
        model = HiGR.load(pretrained(data, self.seed, self.training_slates))
        figures = self._align(model, data, catalog, config)
        recommender = HiGRRecommender(model.eval(), catalog, config.decode.beam_width, data.training.disabled)
        for size in self.sizes:
            test = data.test_set(self.split, size, catalog, self.most)
            generated = test.generate(self.row, recommender, size)
            measured = test.measure(generated, size)
            if config.data.source == "simulator":
                worth = {
                    WATCH: watch_seconds(world_of(data), measured.users.tolist(), generated),
                    **signal_means(data, catalog, test.slates, generated),
                }
                named = {f"{name}@{size}": values for name, values in worth.items()}
                measured = replace(measured, values={**measured.values, **named})
            measured.save(path / f"{size}.parquet")
        write_json(path / "figures.json", figures)

    def load(self, data: Prepared) -> "Result":
        """What `complete` kept."""
        path = self.folder(data)
        measured = {size: Measured.load(path / f"{size}.parquet") for size in self.sizes}
        return Result(self, measured, read_json(path / "figures.json"))

    def _align(self, model: HiGR, data: Prepared, catalog: Catalog, config: RunConfig) -> dict[str, Any]:
        """In place; seconds, pairs and what the guard saw."""
        if self.row == NONE:
            return {"seconds": 0.0}
        started = time.perf_counter()
        prepared = latest_slates(data.training, self.training_slates)
        if self.row == CONTINUED:
            settings = config.training.model_copy(
                update={
                    "epochs": config.align.epochs,
                    "learning_rate": config.align.learning_rate,
                    "patience": config.align.epochs,
                }
            )
            some = of_some_users(prepared.split("train"), config.align.user_share, config.seed)
            examples, held_out = (
                build_examples(slates, data.history, catalog, model.profiles, config)
                for slates in (some, prepared.split("validation"))
            )
            fit(model, examples, held_out, catalog.code_tensor, settings, config.seed)
            return {"seconds": time.perf_counter() - started, "slates": len(examples)}
        curve = align(model, prepared, data.history, catalog, data.tokenizer(self.seed), config)
        guard = {name: value for name, value in guard_figures(curve).items() if name != "guard_message"}
        return {"seconds": time.perf_counter() - started, "pairs": curve[0]["pairs"], **guard}


@dataclass(frozen=True)
class Result:
    """Attributes:
    measured: slate size: values a slate.
    figures: seconds, pairs by kind, what the guard saw.
    """

    job: Job
    measured: dict[int, Measured]
    figures: dict[str, Any]

    @property
    def ndcg(self) -> float:
        """What a setting is chosen by: mean NDCG@5."""
        return float(np.nanmean(self.measured[5].values["ndcg@5"]))


def pretrained(data: Prepared, seed: int, training_slates: int) -> Path:
    """Folder of the model that all alignments of a seed start from; made where it is not there yet."""
    path = data.results / f"pretrained-{seed}-{training_slates}"
    if path.is_dir():
        return path
    config = _configuration(data, seed, {})
    catalog = data.catalog(seed)
    prepared = latest_slates(data.training, training_slates)
    profiles = fit_profiles(data.training, data.history, config.model)
    examples, held_out = (
        build_examples(prepared.split(split), data.history, catalog, profiles, config)
        for split in ("train", "validation")
    )
    torch.manual_seed(seed)
    model = HiGR(config.model, catalog.depth, catalog.codebook_size, profiles, catalog.tokenizer_id)
    fit(model, examples, held_out, catalog.code_tensor, config.training, seed)
    with atomic_directory(path) as aside:
        model.save(aside)
    return path


def world_of(data: Prepared) -> World:
    """The simulated world that the log is of."""
    return World(data.config.data.simulator, data.config.seed)


def watch_seconds(world: World, users: Sequence[str], slates: Sequence[Slate]) -> np.ndarray:
    """(S,) seconds that each user is expected to watch of the slate made for them."""
    longest = max(len(slate.item_ids) for slate in slates)
    items = np.full((len(slates), longest), -1)
    for row, slate in enumerate(slates):
        items[row, : len(slate.item_ids)] = world.item_rows(slate.item_ids)
    return world.expected_seconds(world.user_rows(users), items)


def signal_means(
    data: Prepared, catalog: Catalog, logged: pa.Table, slates: Sequence[Slate]
) -> dict[str, np.ndarray]:
    """Business signal (`higr.align.signals`) to its (S,) means over the items of each slate.

    Args:
        logged: (S) the logged slates, whose moments freshness is at.
    """
    config = PreferenceConfig.model_validate({"signals": [{"kind": kind} for kind in SIGNALS]})
    signals = Signals.build(data.training, logged, catalog, config)
    items = np.full((len(slates), max(len(slate.item_ids) for slate in slates)), PADDING)
    for row, slate in enumerate(slates):
        items[row, : len(slate.item_ids)] = [catalog.position[item] for item in slate.item_ids]
    rows, there = np.arange(len(slates)), items != PADDING
    return {kind: signals.values(kind, rows, items).sum(axis=1) / there.sum(axis=1) for kind in SIGNALS}


def _configuration(data: Prepared, seed: int, align: Mapping[str, Any]) -> RunConfig:
    document = data.config.model_dump(mode="json")
    document["align"] = {**document["align"], **align}
    return RunConfig.model_validate({**document, "seed": seed})
