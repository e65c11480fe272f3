"""Which objective and which negative does what: alignments of one pretrained model, side by side.

    python -m benchmarks.alignment [--preset full|quick] [--data ../shared/data] [--work runs/alignment]

Every objective starts from the same weights, sees the slates of the same users once, and chooses among
as many settings by NDCG@5 on validation slates, on a seed that is not used again. `continued` is no
alignment: the same slates, rates and steps with the loss of pretraining. The kinds of negatives are
compared under ORPO with the setting chosen for all of them together. The test period is looked at once,
at the end. In the simulator a slate is also worth what its user is expected to watch of it. A run that
was stopped goes on. Writes benchmarks/results/alignment.json and .md.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.alignment_report import assemble, publish, tables
from benchmarks.alignment_runs import CONTINUED, NONE, Job, Result, pretrained
from benchmarks.machine import machine
from benchmarks.quality_data import BASE, Prepared, configuration, one_thread
from benchmarks.quality_runs import run
from higr.config import RunConfig
from higr.errors import HigrError

RESULTS = Path(__file__).parent / "results"
TUNING_SEED = 1000
RATES = (1e-4, 5e-4)
STRENGTHS: dict[str, tuple[str, tuple[float, ...]]] = {
    "orpo": ("alpha", (0.1, 1.0)),
    "orpo_length_averaged": ("alpha", (0.1, 1.0)),
    "dpo": ("dpo_beta", (0.1, 0.5)),
    "simpo": ("simpo_beta", (2.0, 10.0)),
    "f_grpo": ("order_weight", (0.3, 1.0)),
}
"""What each objective is tuned in beside its rate."""
NEGATIVES: dict[str, dict[str, Any]] = {
    "orpo_ranking": {"interest": 0, "diversity": 0},
    "orpo_interest": {"ranking": 0, "diversity": 0},
    "orpo_diversity": {"ranking": 0, "interest": 0},
    "orpo_diversity_dissimilar": {"ranking": 0, "interest": 0, "diversity_form": "dissimilar_fill"},
}
POLICIES: dict[str, dict[str, Any]] = {
    "orpo_creator_exposure": {"signals": [{"kind": "creator_exposure", "strength": 1.0, "negative": 3.0}]},
    "orpo_freshness": {"signals": [{"kind": "freshness", "strength": 1.0, "negative": 3.0}]},
}
"""Business objectives beside the usual negatives, in the simulator, whose items have creators and dates."""
DATASETS = ("kuairand", "simulator")


@dataclass(frozen=True)
class Preset:
    """Attributes:
    seeds: of the table.
    epochs: of pretraining; alignment has one.
    most: test slates at most.
    training_slates: the latest ones, of pretraining and alignment; 0: all.
    user_share: of the users that are aligned on.
    users: of the simulated world.
    """

    seeds: int
    epochs: int
    most: int
    training_slates: int
    user_share: float
    users: int


PRESETS = {
    "full": Preset(3, 2, 20_000, 0, 0.3, 4_000),
    "quick": Preset(3, 1, 500, 4_000, 0.3, 500),
}


def prepared(name: str, folder: Path, data: Path, preset: Preset) -> Prepared:
    """KuaiRand as `benchmarks.quality` has it, or a simulated world of requests for five items."""
    training = {"epochs": preset.epochs, "patience": 1, "batch_size": 128, "learning_rate": 4e-3}
    if name == "kuairand":
        return Prepared(
            name, folder, configuration(name, data, {"training": {**training, "target_size": 10}})
        )
    world = {"users": preset.users, "items": 2_000, "slates_per_user": 24, "slate_size": 5, "days": 28}
    document = {
        "data": {"source": "simulator", "simulator": world, "slates": "request"},
        "model": {**BASE, "history_length": 32, "history": "engaged"},
        "training": training,
    }
    return Prepared(name, folder, RunConfig.model_validate(document))


def settings(row: str) -> list[dict[str, Any]]:
    """What is tried of an objective, as fields of the configuration's section `align`."""
    if row == CONTINUED:
        return [{"learning_rate": rate} for rate in (5e-5, *RATES, 2e-3)]
    name, values = STRENGTHS[row]
    return [{"objective": row, "learning_rate": rate, name: value} for rate in RATES for value in values]


def plan_tuning(dataset: str, preset: Preset) -> list[Job]:
    """Four settings of every objective."""
    return [
        _job(dataset, row, TUNING_SEED, setting, preset, "validation", (5,))
        for row in (*STRENGTHS, CONTINUED)
        for setting in settings(row)
    ]


def chosen(results: Sequence[Result]) -> dict[str, Result]:
    """The best setting of each objective by NDCG@5."""
    best: dict[str, Result] = {}
    for result in results:
        row = result.job.row
        if row not in best or result.ndcg > best[row].ndcg:
            best[row] = result
    return best


def plan(dataset: str, best: Mapping[str, Mapping[str, Any]], preset: Preset) -> list[Job]:
    """All rows on the test period. best: row to fields of `align`."""
    rows = {NONE: {}, **best}
    if dataset == "simulator":
        rows["f_grpo_simulator"] = {**best["f_grpo"], "reward": "simulator"}
    preferences = NEGATIVES if dataset == "kuairand" else {**NEGATIVES, **POLICIES}
    rows |= {row: {**best["orpo"], "preference": preference} for row, preference in preferences.items()}
    sizes = (5, 10) if dataset == "kuairand" else (5,)
    return [
        _job(dataset, row, seed, fields, preset, "test", sizes)
        for seed in range(preset.seeds)
        for row, fields in rows.items()
    ]


def _job(
    dataset: str,
    row: str,
    seed: int,
    fields: Mapping[str, Any],
    preset: Preset,
    split: str,
    sizes: tuple[int, ...],
) -> Job:
    section = {} if row == NONE else {"user_share": preset.user_share, "batch_size": 128, **fields}
    return Job(dataset, row, seed, section, split, sizes, preset.most, preset.training_slates)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/alignment"))
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    arguments = parser.parse_args()
    try:
        document = measure(arguments, PRESETS[arguments.preset])
    except HigrError as error:
        sys.exit(f"benchmarks.alignment: {error}")
    publish(document, RESULTS / ("alignment" if arguments.preset == "full" else "alignment-quick"))
    for table in tables(document):
        Console(width=170).print(table)


def measure(arguments: argparse.Namespace, preset: Preset) -> dict[str, Any]:
    """All of it; the document."""
    seeds = [*range(preset.seeds), TUNING_SEED]
    tuning, results = {}, {}
    for name in arguments.datasets:
        data = prepared(name, arguments.work / arguments.preset / name, arguments.data, preset)
        data.make(seeds, arguments.workers)
        with ProcessPoolExecutor(arguments.workers, get_context("spawn"), one_thread) as pool:
            count = len(seeds)
            list(pool.map(pretrained, [data] * count, seeds, [preset.training_slates] * count))
        tuning[name] = run(plan_tuning(name, preset), {name: data}, arguments.workers, f"{name}: settings")
        best = {row: result.job.align for row, result in chosen(tuning[name]).items()}
        results[name] = run(plan(name, best, preset), {name: data}, arguments.workers, f"{name}: rows")
    return {
        "machine": machine(threads=1),
        "preset": arguments.preset,
        **assemble(results, tuning, {name: chosen(rows) for name, rows in tuning.items()}),
    }


if __name__ == "__main__":
    main()
