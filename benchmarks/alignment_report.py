"""What the runs of `benchmarks.alignment` say together: intervals, paired differences, pages."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks import pages
from benchmarks.alignment_runs import NONE, SIGNALS, WATCH, Result
from benchmarks.pages import Tables, shown
from higr.evaluation.compare import paired, summary
from higr.evaluation.measured import Measured

SHOWN = {
    "ndcg": "NDCG",
    "effective_view_hit": "effective-view Hit",
    "impression_hit": "impression Hit",
    "recall": "recall",
    "intra_list_diversity": "diversity of categories",
    "repetition": "repetition",
    WATCH: "watched, s",
    "creator_exposure": "creators seldom shown",
    "freshness": "freshness",
}

COMPARED = ("ndcg", "intra_list_diversity", WATCH, *SIGNALS)


def assemble(
    results: Mapping[str, Sequence[Result]],
    tuning: Mapping[str, Sequence[Result]],
    best: Mapping[str, Mapping[str, Result]],
) -> dict[str, Any]:
    """The document but for machine and preset. results: data set: runs."""
    document: dict[str, Any] = defaultdict(dict)
    for data, runs in results.items():
        rows: dict[str, dict[int, list[Measured]]] = defaultdict(lambda: defaultdict(list))
        figures: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for result in runs:
            figures[result.job.row].append(result.figures)
            for size, measured in result.measured.items():
                rows[result.job.row][size].append(measured)
        document["datasets"][data] = {
            row: {
                name: value.model_dump()
                for measured in by_size.values()
                for name, value in summary(measured).items()
            }
            for row, by_size in rows.items()
        }
        document["difference"][data] = {
            row: {
                name: value.model_dump()
                for size, measured in by_size.items()
                for name, value in paired(measured, rows[NONE][size]).items()
            }
            for row, by_size in rows.items()
            if row != NONE
        }
        document["figures"][data] = figures
        document["tuning"][data] = [
            {
                "row": result.job.row,
                "align": dict(result.job.align),
                "ndcg@5": result.ndcg,
                "chosen": best[data][result.job.row].job == result.job,
            }
            for result in tuning[data]
        ]
    return dict(document)


def publish(document: dict[str, Any], path: Path) -> None:
    """<path>.json and <path>.md."""
    machine = document["machine"]
    head = (
        f"Preset `{document['preset']}`; one thread each, {machine['cpu']}, torch {machine['torch']}. "
        "Mean and 95 % interval over users and seeds; differences are paired. Made by `make bench-alignment`."
    )
    pages.publish(document, pages.markdown(head, _tables(document)), path)


def tables(document: dict[str, Any]) -> list[Table]:
    """For the terminal."""
    return pages.terminal(_tables(document))


def _tables(document: dict[str, Any]) -> Tables:
    made: Tables = []
    for data, rows in document["datasets"].items():
        for size in (5, 10):
            if f"ndcg@{size}" not in rows[NONE]:
                continue
            names = [name for name in SHOWN if f"{name}@{size}" in rows[NONE]]
            head = ("", *(f"{SHOWN[name]}@{size}" for name in names))
            body = [(row, *(shown(own.get(f"{name}@{size}")) for name in names)) for row, own in rows.items()]
            made.append((f"{data}, slates of {size}", [head, *body]))
            differences = document["difference"][data]
            kept = [name for name in COMPARED if name in names]
            head = ("", *(f"{SHOWN[name]}@{size}, difference" for name in kept), f"NDCG@{size}, ratio")
            body = [
                (
                    row,
                    *(shown(own[f"{name}@{size}"]) for name in kept),
                    shown(own[f"ndcg@{size}"]["ratio"]),
                )
                for row, own in differences.items()
            ]
            made.append((f"{data}, slates of {size}: against {NONE}", [head, *body]))
        made.append((f"{data}: what it took", _costs(document["figures"][data])))
    return made


def _costs(figures: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [("", "seconds", "pairs", "guard stopped", "distance, nats a code")]
    for row, runs in figures.items():
        pairs = [
            sum(count for kind, count in run.get("pairs", {}).items() if not kind.startswith("skipped"))
            for run in runs
        ]
        distance = [run["guard_distance"] for run in runs if "guard_distance" in run]
        table.append(
            (
                row,
                f"{np.mean([run['seconds'] for run in runs]):.0f}",
                f"{np.mean(pairs):,.0f}",
                f"{sum(run.get('guard_breached', 0) for run in runs)} of {len(runs)}",
                f"{np.mean(distance):.3f}" if distance else "",
            )
        )
    return table
