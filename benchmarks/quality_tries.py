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
from higr.config import SIZES
from higr.errors import HigrError

RESULTS = Path(__file__).parent / "results" / "quality_tries"
RATES = {"higr": 4e-3, "onerec": 2e-3, "tiger": 2e-3}
"""As chosen by `benchmarks.quality`."""
DECODINGS: dict[str, dict[str, str]] = {
    "higr": {"beam 10": "", "beam 5": "/5", "beam 20": "/20", "beam 40": "/40", "no plan": "first/40"},
    "onerec": {
        "greedy": "greedy",
        "greedy, beam 40": "greedy/40",
        "session": "session",
        "session, beam 40": "session/40",
    },
    "tiger": {"beam 40": ""},
}
TRIES: dict[str, tuple[str, dict[str, dict[str, Any]], int]] = {
    "HiGR": ("higr", {}, 0),
    "HiGR, 50,000 slates": ("higr", {}, 50_000),
    "HiGR, 25,000 slates": ("higr", {}, 25_000),
    "HiGR, 4 epochs": ("higr", {"training": {"epochs": 4}}, 0),
    "HiGR, rate 0.002": ("higr", {"training": {"learning_rate": 2e-3}}, 0),
    "HiGR, dropout 0.1": ("higr", {"model": {"dropout": 0.1}}, 0),
    "HiGR, planner of 2, generator of 2": (
        "higr",
        {"model": {"planner_layers": 2, "generator_layers": 2}},
        0,
    ),
    "HiGR, nano (width 96)": ("higr", {"model": SIZES["nano"]}, 0),
    "HiGR, every exposure read": ("higr", {"model": {"history": "all"}}, 0),
    "HiGR, D tokens an event": ("higr", {"model": {"history_tokens": "code"}}, 0),
    "OneRec": ("onerec", {}, 0),
    "OneRec, 50,000 slates": ("onerec", {}, 50_000),
    "OneRec, 25,000 slates": ("onerec", {}, 25_000),
    "OneRec, rate 0.004": ("onerec", {"training": {"learning_rate": 4e-3}}, 0),
    "OneRec, 4 epochs": ("onerec", {"training": {"epochs": 4}}, 0),
    "TIGER": ("tiger", {}, 0),
}
"""Name to model, changes, and training slates (0: all)."""


def plan() -> dict[str, Job]:
    """By name. The first of a model is decoded in every way, the others in the usual one."""
    jobs = {}
    for name, (model, changes, slates) in TRIES.items():
        training = {"epochs": 2, "patience": 1, "batch_size": 128, "learning_rate": RATES[model]}
        changed = {**changes, "training": {**training, **changes.get("training", {})}}
        rows = DECODINGS[model] if not (changes or slates) else dict(list(DECODINGS[model].items())[:1])
        jobs[name] = Job(
            "kuairand", model, TUNING_SEED, changed, rows, "validation", (5,), training_slates=slates
        )
    return jobs


def table(results: dict[str, Result]) -> list[dict[str, Any]]:
    """A row a model and way of decoding. `error` is the standard error over slates."""
    rows = []
    for name, result in results.items():
        for decoding, by_size in result.measured.items():
            values = by_size[5].values["ndcg@5"]
            values = values[~np.isnan(values)]
            rows.append(
                {
                    "model": name,
                    "decoding": decoding,
                    "ndcg@5": float(values.mean()),
                    "error": float(values.std() / len(values) ** 0.5),
                    **{
                        key: result.figures[key]
                        for key in ("validation_loss", "parameters", "training_slates", "train_seconds")
                    },
                    "decode_seconds": result.figures["decode_seconds"][f"{decoding}@5"],
                }
            )
    return rows


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
        "Made by `python -m benchmarks.quality_tries`."
    )
    pages.publish(document, pages.markdown(head, made), RESULTS)
    for shown in pages.terminal(made):
        Console(width=150).print(shown)


def _shown(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        ("", "decoding", "NDCG@5", "standard error", "validation loss", "training, s", "decoding, s"),
        *(
            (
                row["model"],
                row["decoding"],
                f"{row['ndcg@5']:.4f}",
                f"{row['error']:.4f}",
                f"{row['validation_loss']:.4f}",
                f"{row['train_seconds']:.0f}",
                f"{row['decode_seconds']:.0f}",
            )
            for row in rows
        ),
    ]


if __name__ == "__main__":
    main()
