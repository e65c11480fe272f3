"""What the paired test and its intervals can carry: simulated trainings of two methods that do not differ.

    python -m benchmarks.paired_test

A user has one slate, of value u + n + r: u is the user's own, alike for both methods (deviation 1), n
another in every run (0.5), r the run's, alike for all users (a multiple of what the u of all users add
to a mean, 1 / sqrt(users)). All expectations are 0, so an interval should hold 0 in 95 of 100
repetitions and p be at most 0.05 in 5. Takes a minute or two of one core; prints a table and writes
benchmarks/results/paired_test.json and .md.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from higr.evaluation.compare import Protocol, paired, summary
from higr.evaluation.measured import Measured
from higr.evaluation.permutation import sign_flip
from higr.files import atomic_file, write_json

RESULTS = Path(__file__).parent / "results"
USERS, REPETITIONS, RESAMPLES, FLIPS = 150, 2000, 1000, 1000
CASES = ((1, 0.0), (1, 1.0), (2, 1.0), (2, 3.0), (3, 0.0), (3, 1.0), (3, 3.0), (5, 1.0), (10, 1.0))
"""Runs a method, and what a run adds to a mean as a multiple of what users add."""
HEADER = (
    "runs",
    "deviation by runs",
    "95 % interval of a mean holds it",
    "of a difference",
    "p at most 0.05",
    "sign flip alone",
)
SHARES = ("mean_held", "difference_held", "rejected", "rejected_by_flips_alone")


def trainings(rng: np.random.Generator, users: np.ndarray, runs: int, deviation: float) -> list[Measured]:
    """The runs of one method, over users of these values."""
    names = np.array([f"user {i}" for i in range(len(users))])
    shifts = rng.normal(0, deviation / np.sqrt(len(users)), runs)
    noise = rng.normal(0, 0.5, (runs, len(users)))
    return [Measured(names, names, {"m": users + noise[run] + shifts[run]}, {}, {}) for run in range(runs)]


def simulate(runs: int, deviation: float, repetitions: int, seed: int) -> dict[str, Any]:
    """Shares of the repetitions: intervals that hold 0, and p-values of at most 0.05."""
    rng = np.random.default_rng(seed)
    found = np.zeros((repetitions, len(SHARES)), bool)
    for repetition in range(repetitions):
        users = rng.normal(size=USERS)
        left, right = (trainings(rng, users, runs, deviation) for _ in range(2))
        protocol = Protocol(resamples=RESAMPLES, permutations=FLIPS, seed=repetition)
        mean, difference = summary(left, protocol)["m"], paired(left, right, protocol)["m"]
        averages = [np.mean([run.values["m"] for run in side], axis=0) for side in (left, right)]
        flips = sign_flip((averages[0] - averages[1])[:, None], left[0].users, FLIPS, repetition)
        found[repetition] = (
            mean.low <= 0 <= mean.high,
            difference.low <= 0 <= difference.high,
            difference.p_value <= 0.05,
            flips[0] <= 0.05,
        )
    shares = dict(zip(SHARES, found.mean(axis=0).tolist(), strict=True))
    return {"runs": runs, "deviation_by_runs": deviation, **shares}


def cells(row: dict[str, Any]) -> list[str]:
    return [
        str(row["runs"]),
        f"{row['deviation_by_runs']:g}",
        *(f"{100 * row[name]:.0f} %" for name in SHARES),
    ]


def markdown(document: dict[str, Any]) -> str:
    lines = [
        f"{document['users']} users, {document['repetitions']} repetitions, seed {document['seed']}: a share "
        "of 5 or 95 % is known to 1 point. Made by `python -m benchmarks.paired_test`.",
        "",
        "| " + " | ".join(HEADER) + " |",
        "|" + "---:|" * len(HEADER),
        *("| " + " | ".join(cells(row)) + " |" for row in document["rows"]),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    arguments = parser.parse_args()
    rows = [simulate(*case, arguments.repetitions, arguments.seed) for case in CASES]
    document = {"users": USERS, "repetitions": arguments.repetitions, "seed": arguments.seed, "rows": rows}
    write_json(RESULTS / "paired_test.json", document)
    with atomic_file(RESULTS / "paired_test.md") as aside:
        aside.write_text(markdown(document))
    table = Table(*HEADER)
    for row in rows:
        table.add_row(*cells(row))
    Console().print(table)


if __name__ == "__main__":
    main()
