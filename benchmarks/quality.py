"""Slates of HiGR and of all it is compared with, on public data: quality with intervals, ablations, sizes.

    python -m benchmarks.quality [--preset full|quick] [--data ../shared/data] [--work runs/quality]
                                 [--datasets kuairand beauty] [--tables settings main ablation scaling]

Every model gets the same data, the same window of engaged history, epochs at most and early stopping,
and about the same parameters. Those trained by gradient choose among the same three learning rates by
their own validation loss, the incumbent among as many settings by NDCG@5 on every validation slate, on a
seed that is not used again. The test period is looked at once, at the end. What was measured is kept in
--work: a run that was stopped goes on. Writes benchmarks/results/quality.json and .md; with fewer data
sets or tables than all, the others stay as they are there, and settings that are not tried again are those
that were chosen there.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.machine import machine
from benchmarks.quality_data import BASE, DATA, LENGTHS, Prepared, configuration, digest
from benchmarks.quality_report import assemble, publish, renewed, tables
from benchmarks.quality_runs import Job, Result, run
from higr.config import SIZES
from higr.errors import HigrError
from higr.files import read_json

RESULTS = Path(__file__).parent / "results"
TUNING_SEED = 1000
TABLES = ("settings", "main", "ablation", "scaling")
TRAINED = ("higr", "onerec", "onerec_moe", "tiger", "sasrec")
ROWS = {
    "higr": {"higr": "", "higr_beam_40": "/40"},
    "onerec": {
        "onerec": "session",
        "onerec_greedy": "greedy",
        "onerec_beam_40": "session/40",
        "onerec_greedy_beam_40": "greedy/40",
    },
    "onerec_moe": {"onerec_moe_greedy": "greedy"},
    "tiger": {"tiger": "", "tiger_beam_40": "/40"},
}
"""How a model is decoded, a row each: all search 10 wide, and again 40 wide where it has a row of that name.
OneRec is decoded by both rules; with experts by the better one alone."""
RATES = (1e-3, 2e-3, 4e-3)
INCUMBENTS: tuple[dict[str, Any], ...] = ({}, {"trees": 150}, {"mmr_lambda": 1.0})
ABLATIONS: dict[str, dict[str, Any]] = {
    "generator without context": {"generator_context": False},
    "mean of code embeddings": {"pooling": "mean"},
    "max of code embeddings": {"pooling": "max"},
    "a generator a position": {"shared_generator": False},
    "planner of 2 layers, generator of 2": {"planner_layers": 2, "generator_layers": 2},
    "planner of 1 layer, generator of 3": {"planner_layers": 1, "generator_layers": 3},
    "history as D tokens an item": {"history_tokens": "code"},
    "every exposure in the history": {"history": "all"},
    "a token a field": {"profile_tokens": "field"},
    "without the request's situation": {"situation": False},
}
SCALES: dict[str, dict[str, Any]] = {
    "width 32": {"width": 32, "heads": 2, "feedforward": 88},
    "nano": {"size": "nano", **SIZES["nano"]},
    "width 128": {"width": 128, "heads": 4, "feedforward": 344},
    "small": {"size": "small", **SIZES["small"]},
}


@dataclass(frozen=True)
class Preset:
    """Attributes:
    seeds: of the main table.
    variants: seeds of ablations and sizes.
    epochs: by data set, at most; training stops after two without a better validation loss.
    most: test slates at most.
    training_slates: by data set, the latest ones, for every model alike; 0: all.
    fewer: by data set, those that settings, ablations and sizes are trained on.
    lengths: test slates of the table of lengths.
    """

    seeds: int
    variants: int
    epochs: Mapping[str, int]
    most: int
    training_slates: Mapping[str, int]
    fewer: Mapping[str, int]
    lengths: int


PRESETS = {
    "full": Preset(
        seeds=3,
        variants=2,
        epochs={"kuairand": 2, "beauty": 4},
        most=20_000,
        training_slates={"kuairand": 0, "beauty": 20_000},
        fewer={"kuairand": 50_000, "beauty": 10_000},
        lengths=1_000,
    ),
    "quick": Preset(
        seeds=3,
        variants=1,
        epochs={"kuairand": 1, "beauty": 1},
        most=250,
        training_slates={"kuairand": 4_000, "beauty": 4_000},
        fewer={"kuairand": 2_000, "beauty": 2_000},
        lengths=50,
    ),
}


def plan_tuning(dataset: str, preset: Preset) -> list[Job]:
    """Equal numbers of settings for every model; popularity has none."""

    def job(model: str, changes: dict[str, Any], rule: str = "") -> Job:
        return Job(
            dataset,
            model,
            TUNING_SEED,
            changes,
            {model: rule},
            split="validation",
            sizes=(5,),
            most=preset.most,
            training_slates=preset.fewer[dataset],
        )

    return [
        *(
            job(model, _training(preset.epochs[dataset], rate), "greedy")
            for model in TRAINED
            for rate in RATES
        ),
        *(job("incumbent", {"baseline": setting}) for setting in INCUMBENTS),
    ]


def chosen(results: list[Result]) -> dict[str, Result]:
    """The best setting of each model: least validation loss, or most NDCG@5 where there is no loss.

    NDCG@5 over some thousand slates is too noisy to tell rates apart: `python -m
    benchmarks.quality_tries` has its standard error.
    """
    best: dict[str, Result] = {}
    for result in results:
        model = result.job.model
        if model not in best or score(result) > score(best[model]):
            best[model] = result
    return best


def score(result: Result) -> float:
    """What a setting is chosen by; more is better."""
    if "validation_loss" in result.figures:
        return -float(result.figures["validation_loss"])
    values = result.measured[result.job.model][5].values["ndcg@5"]
    return float(values[values == values].mean())


Settings = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Model to what it changes in the data set's configuration."""


def settings_of(tried: Sequence[Mapping[str, Any]]) -> Settings:
    """Those that were chosen among the settings of a document."""
    return {setting["model"]: setting["changes"] for setting in tried if setting["chosen"]}


def plan(dataset: str, settings: Settings, preset: Preset) -> dict[str, list[Job]]:
    """All jobs on the test period, by table."""
    jobs = {
        "main": [
            Job(
                dataset,
                model,
                seed,
                settings.get(model, {}),
                ROWS.get(model, {model: ""}),
                most=preset.most,
                lengths=preset.lengths if model in ("higr", "onerec") else 0,
                training_slates=preset.training_slates[dataset],
            )
            for seed in range(preset.seeds)
            for model in (*TRAINED, "incumbent", "popular")
        ]
    }
    if dataset == "kuairand":
        usual = settings["higr"]
        for table, variants in (("ablation", ABLATIONS), ("scaling", SCALES)):
            jobs[table] = [
                Job(
                    dataset,
                    "higr",
                    seed,
                    _varied(usual, changes),
                    {"higr": ""},
                    most=preset.most,
                    training_slates=preset.fewer[dataset],
                )
                for changes in ({}, *variants.values())
                for seed in range(preset.variants)
            ]
    return jobs


def _training(epochs: int, rate: float) -> dict[str, dict[str, Any]]:
    return {"training": {"epochs": epochs, "patience": 2, "batch_size": 128, "learning_rate": rate}}


def _varied(usual: Mapping[str, Mapping[str, Any]], changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """With changes of the model. The learning rate falls as the width grows, as it has to for AdamW's
    steps to change the outputs as much at every width (arXiv 2203.03466, table 8)."""
    if not changes:
        return {section: dict(fields) for section, fields in usual.items()}
    training = dict(usual.get("training", {}))
    if "width" in changes:
        training["learning_rate"] *= BASE["width"] / changes["width"]
    return {**usual, "training": training, "model": dict(changes)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/quality"))
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--datasets", nargs="+", choices=tuple(DATA), default=tuple(DATA))
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    arguments = parser.parse_args()
    preset = PRESETS[arguments.preset]
    path = RESULTS / ("quality" if arguments.preset == "full" else "quality-quick")
    whole = set(arguments.datasets) == set(DATA) and set(arguments.tables) == set(TABLES)
    try:
        before = {} if whole else read_json(path.with_suffix(".json"))
        document = measure(arguments, preset, before.get("tuning", {}))
        if before:
            document = renewed(before, document)
    except HigrError as error:
        sys.exit(f"benchmarks.quality: {error}")
    publish(document, path)
    for table in tables(document):
        Console(width=170).print(table)


def measure(
    arguments: argparse.Namespace, preset: Preset, tried: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """The document of what was asked for.

    Args:
        tried: settings by data set, as a document has them: used where they are not tried again.
    """
    data = {}
    for name in arguments.datasets:
        folder = arguments.work / arguments.preset / name
        data[name] = Prepared(name, folder, configuration(name, arguments.data, {}))
        data[name].make([*range(preset.seeds), TUNING_SEED], arguments.workers)
    tuning, results = {}, {}
    for name in arguments.datasets:
        if "settings" in arguments.tables:
            tuning[name] = run(plan_tuning(name, preset), data, arguments.workers, f"{name}: settings")
            settings: Settings = {model: result.job.changes for model, result in chosen(tuning[name]).items()}
        elif name in tried:
            settings = settings_of(tried[name])
        else:
            raise HigrError(f"no settings of {name} were chosen before; add settings to --tables")
        planned = plan(name, settings, preset)
        jobs = {table: part for table, part in planned.items() if table in arguments.tables}
        done = run(
            [job for part in jobs.values() for job in part], data, arguments.workers, f"{name}: models"
        )
        results[name] = {}
        for table, part in jobs.items():
            results[name][table], done = done[: len(part)], done[len(part) :]
    return {
        "machine": machine(threads=1),
        "preset": arguments.preset,
        "code": {
            name: dict.fromkeys([*results[name], *(["settings"] if name in tuning else [])], digest())
            for name in results
        },
        **assemble(results, tuning, {name: chosen(rows) for name, rows in tuning.items()}, LENGTHS),
    }


if __name__ == "__main__":
    main()
