"""One training of one tokenizer on one data set, and what many of them say together.

Trainings run side by side in processes of one thread each. A job is a tokenizer's configuration, a
seed and the name of a data set on disk; what comes back is flat figures.
"""

import multiprocessing
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scipy.sparse import load_npz, save_npz
from scipy.stats import t as student

from benchmarks.tokenizer_data import DataSet
from higr.config import TokenizerConfig
from higr.tokenizer.fidelity import measure_fidelity
from higr.tokenizer.fit import fit_quantizer
from higr.tokenizer.positives import mine_positives
from higr.tokenizer.quality import measure
from higr.tokenizer.stability import measure_stability

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Job:
    """Attributes:
    table, row: where the figures belong.
    changes: fields of `TokenizerConfig` beyond its defaults.
    """

    table: str
    row: str
    data: str
    changes: dict[str, Any]
    seed: int


def store(data: DataSet, folder: Path) -> None:
    """Keep a data set where the processes find it."""
    path = folder / data.name
    path.mkdir(parents=True)
    np.save(path / "embeddings.npy", data.embeddings)
    save_npz(path / "counts.npz", data.counts)
    np.savez(path / "yardsticks.npz", **data.yardsticks)
    np.save(path / "companions.npy", data.companions)


def run(jobs: Sequence[Job], folder: Path, workers: int) -> list[tuple[Job, dict[str, Any]]]:
    """All jobs, in their order; a bar says how far."""
    done: dict[int, dict[str, Any]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool, _bar(len(jobs)) as advance:
        waiting = {pool.submit(fit_and_judge, job, folder): number for number, job in enumerate(jobs)}
        for future in as_completed(waiting):
            done[waiting[future]] = future.result()
            advance()
    return [(job, done[number]) for number, job in enumerate(jobs)]


def fit_and_judge(job: Job, folder: Path) -> dict[str, Any]:
    """Figures of one training; the codes are among them."""
    path = folder / job.data
    embeddings, counts = np.load(path / "embeddings.npy"), load_npz(path / "counts.npz")
    config = TokenizerConfig.model_validate(job.changes)
    positives = np.empty((len(embeddings), 0), np.int64)
    if config.kind == "pcrq_vae" and config.contrast_weight > 0:
        kind = config.positives if counts.nnz else "content"
        positives = mine_positives(embeddings, counts, kind, config.neighbours, folder / "cache")
    started = time.perf_counter()
    quantizer = fit_quantizer(embeddings, positives, config, job.seed)
    trained = time.perf_counter() - started
    found = quantizer.encode(embeddings)
    with np.load(path / "yardsticks.npz") as file:
        yardsticks = {name: file[name] for name in file.files}
    judged = {
        name: measure(found.codes, labels, config.codebook_size, found.errors)
        for name, labels in (yardsticks or {"": np.zeros(len(embeddings))}).items()
    }
    quality = next(iter(judged.values()))
    fidelity = measure_fidelity(embeddings, found.codes, found.errors)
    figures: dict[str, Any] = {
        "collision": quality.collision,
        "perplexity": [level.perplexity for level in quality.levels],
        "codebook_use": quality.codebook_use,
        "reconstruction_error": quality.reconstruction_error,
        "neighbours": list(fidelity.neighbours),
        "prefixes": quality.prefixes[-2].groups,
        "collision_floor": fidelity.collision_floor,
        "seconds": trained,
        "codes": found.codes,
    }
    for number, name in enumerate(yardsticks):
        suffix = f"_{name}" if number else ""
        for depth, prefix in enumerate(judged[name].prefixes[:-1], start=1):
            figures[f"concentration_depth_{depth}{suffix}"] = prefix.concentration
            figures[f"consistency_depth_{depth}{suffix}"] = prefix.consistency
        figures[f"concentration{suffix}"] = judged[name].concentration
        figures[f"consistency{suffix}"] = judged[name].consistency
    companions = np.load(path / "companions.npy")
    if len(companions):
        together = companions_together(found.codes, companions)
        figures |= {f"companions_depth_{depth}": share for depth, share in enumerate(together, start=1)}
    return figures


def companions_together(codes: np.ndarray, companions: np.ndarray) -> list[float]:
    """Share of pairs under one prefix, at every depth but the last. (N, D), (P, 2) -> D - 1."""
    same = codes[companions[:, 0]] == codes[companions[:, 1]]
    return np.logical_and.accumulate(same, axis=1).mean(axis=0)[:-1].tolist()


def summarise(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Mean and Student's interval over seeds of every number; means alone of lists; stability of seeds."""
    runs = list(results)
    codes = [run.pop("codes") for run in runs]
    summary: dict[str, Any] = {"seeds": len(runs)}
    for name, first in runs[0].items():
        if isinstance(first, list):
            summary[name] = np.mean([run[name] for run in runs], axis=0).tolist()
        else:
            summary[name] = interval([run[name] for run in runs])
    if len(codes) > 1:
        pairs = [measure_stability(one, other) for one, other in pairwise(codes)]
        summary["stability"] = np.mean([pair.prefixes for pair in pairs], axis=0).tolist()
        summary["rand"] = np.mean([pair.rand for pair in pairs], axis=0).tolist()
    return summary


def interval(values: Sequence[float]) -> dict[str, float]:
    """{"mean", "low", "high"}: Student's 95 % interval of the mean."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return {"mean": mean, "low": mean, "high": mean}
    half = float(
        student.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    )
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _one_thread() -> None:
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)


@contextmanager
def _bar(total: int) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("trainings", total=total)
        yield lambda: progress.advance(task)
