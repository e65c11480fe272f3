"""One model trained on one data set with one seed, and its slates measured.

A job keeps what it measured in the folder of its data set and is not run twice: a run of many hours
goes on where it stopped. Jobs run side by side in processes of one thread each.
"""

import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.quality_data import Prepared, digest, one_thread
from benchmarks.quality_models import trained
from higr.config import RunConfig
from higr.errors import HigrError
from higr.evaluation.held_out import HeldOut
from higr.evaluation.measured import Measured
from higr.files import read_json, write_json
from higr.peers.recommenders import OneRecRecommender
from higr.slate import Recommender, Slate

LONGEST = 10
R = TypeVar("R", covariant=True)


@dataclass(frozen=True)
class Job:
    """Attributes:
    dataset: name of a `Prepared`.
    model: higr, onerec, onerec_moe, tiger, sasrec, incumbent or popular.
    seed: of everything; the semantic IDs are those of the seed, too.
    changes: fields by section beyond the data set's configuration.
    rows: name of a row to how it is decoded; OneRec has two ways, all others one that has no name.
    split: validation when a setting is chosen, test at the end.
    sizes: lengths of slates that are measured.
    most: slates that are measured at most.
    lengths: slates of ten that every length from 1 to 10 is measured on; 0: none.
    training_slates: the latest ones that are trained on; 0: all.
    """

    dataset: str
    model: str
    seed: int
    changes: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, str]
    split: str = "test"
    sizes: tuple[int, ...] = (5, 10)
    most: int = 20_000
    lengths: int = 0
    training_slates: int = 0

    def folder(self, data: Prepared) -> Path:
        """Where its results are: named after all that they depend on, code included."""
        return data.results / f"{self.model}-{self.split}-{self.seed}-{digest(asdict(self))}"

    @property
    def name(self) -> str:
        return self.model

    def complete(self, data: Prepared) -> None:
        """Train and measure, unless that was done before."""
        path = self.folder(data)
        if (path / "figures.json").is_file():
            return
        path.mkdir(parents=True, exist_ok=True)
        config = RunConfig.model_validate(_merged(data.config.model_dump(mode="json"), self.changes))
        config = config.model_copy(update={"seed": self.seed})
        catalog = data.catalog(self.seed)
        recommenders, figures = trained(self.model, self.rows, data, config, catalog, self.training_slates)
        figures["decode_seconds"] = {}
        for size in self.sizes:
            test = data.test_set(self.split, size, catalog, self.most)
            for row, recommender in recommenders.items():
                started = time.process_time()
                generated = test.generate(row, recommender, size)
                figures["decode_seconds"][f"{row}@{size}"] = time.process_time() - started
                test.measure(generated, size).save(path / f"{row}-{size}.parquet")
        if self.lengths:
            test = data.test_set(self.split, LONGEST, catalog, self.lengths)
            for row in self._rows_of_lengths():
                for length, generated in _of_every_length(test, row, recommenders[row]):
                    test.measure(generated, length).save(path / f"length-{row}-{length}.parquet")
        write_json(path / "figures.json", figures)

    def load(self, data: Prepared) -> "Result":
        """What `complete` kept."""
        path = self.folder(data)
        measured = {
            row: {size: Measured.load(path / f"{row}-{size}.parquet") for size in self.sizes}
            for row in self.rows
        }
        lengths = {
            row: {
                length: Measured.load(path / f"length-{row}-{length}.parquet")
                for length in range(1, LONGEST + 1)
            }
            for row in self._rows_of_lengths()
        }
        return Result(self, measured, lengths, read_json(path / "figures.json"))

    def _rows_of_lengths(self) -> list[str]:
        """Those that search as wide as the configuration says, if lengths are measured."""
        return [row for row, rule in self.rows.items() if self.lengths and "/" not in rule]


@dataclass(frozen=True)
class Result:
    """Attributes:
    measured: row, slate size: values a slate.
    lengths: row, length: the same, for the table of lengths.
    figures: parameters, training_slates, train_seconds, epochs, validation_loss, decode_seconds by row;
        seconds are those of a thread on its core, whatever else runs there.
    """

    job: Job
    measured: dict[str, dict[int, Measured]]
    lengths: dict[str, dict[int, Measured]]
    figures: dict[str, Any]


class Work(Protocol[R]):
    """A job, here or of another benchmark."""

    @property
    def name(self) -> str:
        """What a failure is called by."""

    @property
    def dataset(self) -> str:
        """Name of a `Prepared`."""

    @property
    def seed(self) -> int:
        """Of everything."""

    def complete(self, data: Prepared) -> None:
        """Do it and keep what came of it, unless that was done before."""

    def load(self, data: Prepared) -> R:
        """What `complete` kept."""


def run(jobs: Sequence[Work[R]], data: Mapping[str, Prepared], workers: int, title: str) -> list[R]:
    """All jobs in their order; a bar says how far."""
    context = multiprocessing.get_context("spawn")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(dict(data),)) as pool,
        Progress(*columns) as bar,
    ):
        task = bar.add_task(title, total=len(jobs))
        waiting = {pool.submit(_complete, job): job for job in jobs}
        for future in as_completed(waiting):
            if (error := future.exception()) is not None:
                pool.shutdown(wait=False, cancel_futures=True)
                job = waiting[future]
                raise HigrError(f"{job.name} on {job.dataset}, seed {job.seed}: {error}") from error
            bar.advance(task)
    return [job.load(data[job.dataset]) for job in jobs]


_data: dict[str, Prepared] = {}
"""Of this process: what a job has read the next one need not read again."""


def _begin(data: dict[str, Prepared]) -> None:
    one_thread()
    _data.update(data)


def _complete(job: Work[Any]) -> None:
    job.complete(_data[job.dataset])


def _of_every_length(test: HeldOut, row: str, recommender: Recommender) -> Iterator[tuple[int, list[Slate]]]:
    """Slates of 1 to 10 items. What is filled place by place is decoded once; a session beam every time."""
    session = isinstance(recommender, OneRecRecommender) and recommender.rule == "session"
    longest = test.generate(row, recommender, LONGEST)
    for length in range(1, LONGEST + 1):
        yield length, test.generate(row, recommender, length) if session else longest


def _merged(document: dict[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {**document, **{section: {**document[section], **fields} for section, fields in changes.items()}}
