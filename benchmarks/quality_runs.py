"""One model trained on one data set with one seed, and its slates measured.

A job keeps what it measured in the folder of its data set and is not run twice: a run of many hours
goes on where it stopped. Jobs run side by side in processes of one thread each.
"""

import hashlib
import json
import multiprocessing
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow.compute as pc
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.quality_data import Prepared
from higr.baseline.incumbent import Incumbent
from higr.baseline.popularity import Popularity
from higr.catalog import Catalog
from higr.config import ModelConfig, RunConfig
from higr.decode.recommender import HiGRRecommender
from higr.evaluation.held_out import HeldOut
from higr.evaluation.measured import Measured
from higr.files import read_json, write_json
from higr.model.higr import HiGR
from higr.model.inputs import ProfileVocabulary
from higr.peers.build import build_peer
from higr.peers.recommenders import OneRecRecommender, SASRecRecommender, TigerRecommender
from higr.slate import Recommender, Slate
from higr.stages import disabled_items
from higr.training.examples import build_examples
from higr.training.fit import fit

LONGEST = 10


@dataclass(frozen=True)
class Job:
    """Attributes:
    dataset: name of a `Prepared`.
    model: higr, onerec, onerec_moe, tiger, sasrec, incumbent or popular.
    seed: of everything; the semantic IDs are those of the seed, too.
    changes: fields by section beyond the data set's configuration.
    rows: name of a row to how it is decoded; OneRec has two ways, all others one.
    split: validation when a setting is chosen, test at the end.
    sizes: lengths of slates that are measured.
    most: slates that are measured at most.
    lengths: slates of ten that every length from 1 to 10 is measured on; 0: none.
    training_slates: the latest ones that are trained on; 0: all.
    """

    dataset: str
    model: str
    seed: int
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: Mapping[str, str] = field(default_factory=dict)
    split: str = "test"
    sizes: tuple[int, ...] = (5, 10)
    most: int = 20_000
    lengths: int = 0
    training_slates: int = 0

    @property
    def key(self) -> str:
        """Names the job's files."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.model}-{self.split}-{self.seed}-{digest[:12]}"


@dataclass(frozen=True)
class Result:
    """Attributes:
    measured: row, slate size: values a slate.
    lengths: row, length: the same, for the table of lengths.
    figures: parameters, training_slates, train_seconds, epochs, validation_loss, decode_seconds by row.
    """

    job: Job
    measured: dict[str, dict[int, Measured]]
    lengths: dict[str, dict[int, Measured]]
    figures: dict[str, Any]


def run(jobs: Sequence[Job], data: Mapping[str, Prepared], workers: int, title: str) -> list[Result]:
    """All jobs in their order; a bar says how far."""
    context = multiprocessing.get_context("spawn")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool, Progress(*columns) as bar:
        task = bar.add_task(title, total=len(jobs))
        waiting = {pool.submit(complete, job, data[job.dataset]): job for job in jobs}
        for future in as_completed(waiting):
            future.result()
            bar.advance(task)
    return [load(job, data[job.dataset]) for job in jobs]


def complete(job: Job, data: Prepared) -> None:
    """Train and measure, unless that was done before."""
    path = data.folder / "results" / job.key
    if (path / "figures.json").is_file():
        return
    path.mkdir(parents=True, exist_ok=True)
    config = RunConfig.model_validate(_merged(data.config.model_dump(mode="json"), job.changes))
    config = config.model_copy(update={"seed": job.seed})
    catalog = data.catalog(job.seed)
    recommenders, figures = _recommenders(job, data, config, catalog)
    figures["decode_seconds"] = {}
    for size in job.sizes:
        test = data.test_set(job.split, size, catalog, job.most)
        for row, recommender in recommenders.items():
            started = time.perf_counter()
            generated = test.generate(row, recommender, size)
            figures["decode_seconds"][f"{row}@{size}"] = time.perf_counter() - started
            test.measure(generated, size).save(path / f"{row}-{size}.parquet")
    if job.lengths:
        test = data.test_set(job.split, LONGEST, catalog, job.lengths)
        for row, recommender in recommenders.items():
            for length, generated in _of_every_length(test, row, recommender):
                test.measure(generated, length).save(path / f"length-{row}-{length}.parquet")
    write_json(path / "figures.json", figures)


def load(job: Job, data: Prepared) -> Result:
    """What `complete` kept."""
    path = data.folder / "results" / job.key
    rows = job.rows or {job.model: ""}
    measured = {
        row: {size: Measured.load(path / f"{row}-{size}.parquet") for size in job.sizes} for row in rows
    }
    lengths = {
        row: {
            length: Measured.load(path / f"length-{row}-{length}.parquet") for length in range(1, LONGEST + 1)
        }
        for row in (rows if job.lengths else ())
    }
    return Result(job, measured, lengths, read_json(path / "figures.json"))


def _of_every_length(test: HeldOut, row: str, recommender: Recommender) -> Iterator[tuple[int, list[Slate]]]:
    """Slates of 1 to 10 items. What is filled place by place is decoded once; a session beam every time."""
    session = isinstance(recommender, OneRecRecommender) and recommender.rule == "session"
    longest = test.generate(row, recommender, LONGEST)
    for length in range(1, LONGEST + 1):
        yield length, test.generate(row, recommender, length) if session else longest


def _recommenders(
    job: Job, data: Prepared, config: RunConfig, catalog: Catalog
) -> tuple[dict[str, Recommender], dict[str, Any]]:
    """By row, and what making them took."""
    started = time.perf_counter()
    prepared = data.training
    figures: dict[str, Any] = {"training_slates": prepared.split("train").num_rows}
    if job.model == "popular":
        made: dict[str, Recommender] = {"popular": Popularity.fit(prepared)}
    elif job.model == "incumbent":
        contexts = data.history.contexts(prepared.split("train"))
        made = {"incumbent": Incumbent.fit(prepared, contexts, config.baseline, job.seed)}
    else:
        model, curve, figures["training_slates"] = _trained(job, data, config, catalog)
        figures["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        figures["epochs"] = len(curve) - 1
        figures["validation_loss"] = min(record["validation_loss"] for record in curve)
        disabled = disabled_items(prepared.items)
        made = {
            row: _recommender(model, catalog, config.decode.beam_width, rule, disabled)
            for row, rule in (job.rows or {job.model: ""}).items()
        }
    return made, {**figures, "train_seconds": time.perf_counter() - started}


def _trained(
    job: Job, data: Prepared, config: RunConfig, catalog: Catalog
) -> tuple[Any, list[dict[str, Any]], int]:
    """The model, its curve, and the slates it was trained on."""
    prepared, history = data.training, data.history
    users = pc.unique(prepared.train_events["user_id"]).to_pylist()
    profiles = ProfileVocabulary.fit(history.profiles[history.users[user]] for user in users)
    train, held_out = (
        build_examples(prepared.split(split), history, catalog, profiles, config)
        for split in ("train", "validation")
    )
    train = train[slice(-job.training_slates, None)] if job.training_slates else train
    torch.manual_seed(config.seed)
    model = build(job.model, config.model, catalog, profiles)
    curve = fit(model, train, held_out, catalog.code_tensor, config.training, config.seed, label=job.model)
    return model, curve, len(train)


def build(kind: str, config: ModelConfig, catalog: Catalog, profiles: ProfileVocabulary) -> Any:
    """HiGR of this configuration, or a peer with as many parameters."""
    shape = (catalog.depth, catalog.codebook_size, profiles)
    if kind == "higr":
        return HiGR(config, *shape, catalog.tokenizer_id)
    return build_peer(kind, config, *shape, len(catalog), catalog.tokenizer_id)  # type: ignore[arg-type]


def _recommender(model: Any, catalog: Catalog, beam: int, rule: str, disabled: Iterable[str]) -> Recommender:
    match type(model).__name__:
        case "HiGR":
            return HiGRRecommender(model, catalog, beam, disabled)
        case "OneRec":
            return OneRecRecommender(model, catalog, beam, rule, disabled)  # type: ignore[arg-type]
        case "Tiger":
            return TigerRecommender(model, catalog, beam, disabled)
        case _:
            return SASRecRecommender(model, catalog, disabled)


def _merged(document: dict[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {**document, **{section: {**document[section], **fields} for section, fields in changes.items()}}


def _one_thread() -> None:
    torch.set_num_threads(1)
