"""What was tried where HiGR falls short: data, capacity, optimisation, decoding, beam.

    python -m benchmarks.quality_tries [--data ../shared/data] [--work runs/quality]

On KuaiRand's validation slates, never on the test period, with the seed that settings are chosen with. It
shares its data with `make bench-quality`. A run that was stopped goes on. Writes
benchmarks/results/quality_tries.json and .md.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import pages
from benchmarks.machine import machine
from benchmarks.quality import TUNING_SEED
from benchmarks.quality_data import Prepared, configuration
from benchmarks.quality_runs import Job, Result, run
from higr.errors import HigrError

RESULTS = Path(__file__).parent / "results" / "quality_tries"
RATES = {"higr": 4e-3, "onerec": 2e-3, "tiger": 2e-3, "tiger_pooled": 2e-3}
"""As chosen by `benchmarks.quality`."""
FEWER, FEW = 50_000, 25_000
EVERY: dict[str, Any] = {"history": "all"}
DEEP: dict[str, Any] = {"planner_layers": 1, "generator_layers": 3}
DECODINGS: dict[str, dict[str, str]] = {
    "higr": {"beam 10": "", "beam 5": "/5", "beam 20": "/20", "beam 40": "/40", "no plan": "first/40"},
    "onerec": {
        "greedy": "greedy",
        "greedy, beam 40": "greedy/40",
        "session": "session",
        "session, beam 40": "session/40",
    },
    "tiger": {"beam 40": "/40"},
    "tiger_pooled": {"beam 40": "/40"},
}
SUBJECT = "HiGR"
TRIES: dict[str, tuple[str, dict[str, dict[str, Any]], int]] = {
    SUBJECT: ("higr", {}, FEWER),
    "HiGR, 25,000 slates": ("higr", {}, FEW),
    "HiGR, 4 epochs": ("higr", {"training": {"epochs": 4}}, FEWER),
    "HiGR, dropout 0.1": ("higr", {"model": {"dropout": 0.1}}, FEWER),
    "HiGR, planner of 1, generator of 3": ("higr", {"model": DEEP}, FEWER),
    "HiGR, every exposure read": ("higr", {"model": EVERY}, FEWER),
    "HiGR, every exposure, planner of 1, generator of 3": ("higr", {"model": EVERY | DEEP}, FEWER),
    "OneRec": ("onerec", {}, FEWER),
    "TIGER": ("tiger", {}, FEWER),
    "TIGER, one token an event": ("tiger_pooled", {}, FEWER),
}
"""Name to model, changes, and training slates. `benchmarks.quality` has rates, sizes and single ablations."""


def plan() -> dict[str, Job]:
    """By name. The first of a model is decoded in every way, the others in the usual one."""
    jobs = {}
    for name, (model, changes, slates) in TRIES.items():
        training = {"epochs": 2, "patience": 2, "batch_size": 128, "learning_rate": RATES[model]}
        changed = {**changes, "training": {**training, **changes.get("training", {})}}
        first = not changes and slates == FEWER
        rows = DECODINGS[model] if first else dict(list(DECODINGS[model].items())[:1])
        jobs[name] = Job(
            "kuairand", model, TUNING_SEED, changed, rows, "validation", (5,), training_slates=slates
        )
    return jobs


def table(results: dict[str, Result]) -> list[dict[str, Any]]:
    """A row a model and way of decoding, the first is SUBJECT's. `error` is the standard error over slates;
    `difference` is the row less the first one on the same slates, with the standard error of that."""
    rows = []
    subject = next(iter(next(iter(results.values())).measured.values()))[5].values["ndcg@5"]
    for name, result in results.items():
        for decoding, by_size in result.measured.items():
            values = by_size[5].values["ndcg@5"]
            rows.append(
                {
                    "model": name,
                    "decoding": decoding,
                    "ndcg@5": float(np.nanmean(values)),
                    "error": _error(values),
                    "difference": float(np.nanmean(values - subject)),
                    "difference_error": _error(values - subject),
                    **{
                        key: result.figures[key]
                        for key in ("validation_loss", "parameters", "training_slates", "train_seconds")
                    },
                    "decode_seconds": result.figures["decode_seconds"][f"{decoding}@5"],
                }
            )
    return rows


def _error(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.std() / len(known) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/quality"))
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    arguments = parser.parse_args()
    folder = arguments.work / "full" / "kuairand"
    data = Prepared("kuairand", folder, configuration("kuairand", arguments.data, {}))
    jobs = plan()
    try:
        data.make([TUNING_SEED], arguments.workers)
        done = run(list(jobs.values()), {"kuairand": data}, arguments.workers, "kuairand: tries")
    except HigrError as error:
        sys.exit(f"benchmarks.quality_tries: {error}")
    rows = table(dict(zip(jobs, done, strict=True)))
    document: dict[str, Any] = {"machine": machine(threads=1), "rows": rows}
    made = [("KuaiRand, validation slates of five", _shown(rows))]
    head = (
        f"One thread a training, {document['machine']['cpu']}, torch {document['machine']['torch']}. "
        "± is one standard error over slates, of differences on the same slates. "
        "Made by `python -m benchmarks.quality_tries`."
    )
    pages.publish(document, pages.markdown(head, made), RESULTS)
    for shown in pages.terminal(made):
        Console(width=150).print(shown)


def _shown(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            *("", "decoding", "NDCG@5", "less the first row", "validation loss"),
            *("training slates", "training, s", "decoding, s"),
        ),
        *(
            (
                row["model"],
                row["decoding"],
                f"{row['ndcg@5']:.4f} ± {row['error']:.4f}",
                f"{row['difference']:+.4f} ± {row['difference_error']:.4f}",
                f"{row['validation_loss']:.4f}",
                f"{row['training_slates']:,.0f}",
                f"{row['train_seconds']:.0f}",
                f"{row['decode_seconds']:.0f}",
            )
            for row in rows
        ),
    ]


if __name__ == "__main__":
    main()
