"""What the runs of `benchmarks.quality` say together: intervals, paired differences, pages."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks import pages
from benchmarks.pages import Tables, shown
from benchmarks.quality_runs import Result
from higr.evaluation.compare import compare, paired, summary
from higr.evaluation.measured import Measured

SUBJECT = "higr"
WIDE = "_beam_40"
"""Ends the names of rows that search 40 wide. They are set against HiGR at that width."""
AS_IT_IS = "as it is"
ORDER = (
    *("higr", "onerec", "onerec_greedy", "onerec_moe_greedy"),
    *("tiger", "sasrec", "incumbent", "popular"),
    *(f"{row}{WIDE}" for row in ("higr", "onerec", "onerec_greedy", "tiger")),
)
SHOWN = {
    "ndcg": "NDCG",
    "ndcg_binary": "NDCG, binary",
    "effective_view_hit": "effective-view Hit",
    "impression_hit": "impression Hit",
    "recall": "recall",
    "intra_list_diversity": "diversity of categories",
    "prefix_entropy_2": "entropy of prefixes",
}
Runs = dict[str, dict[int, list[Measured]]]
"""Row, slate size: one `Measured` a seed."""


def assemble(
    results: Mapping[str, Mapping[str, Sequence[Result]]],
    tuning: Mapping[str, Sequence[Result]],
    best: Mapping[str, Mapping[str, Result]],
    sizes: Sequence[int],
) -> dict[str, Any]:
    """The document but for machine and preset. results: data set, table: runs."""
    document: dict[str, Any] = defaultdict(dict)
    for data, part in results.items():
        if "main" in part:
            runs = _by_row(part["main"])
            document["datasets"][data] = {row: _summaries(of_row, sizes) for row, of_row in runs.items()}
            document["paired"][data] = _paired(runs, sizes)
            document["costs"][data] = _costs(part["main"])
            document["slate_length"][data] = _lengths(part["main"])
        if data in tuning:
            document["tuning"][data] = [_setting(result, best[data]) for result in tuning[data]]
        for table in ("ablation", "scaling"):
            if part.get(table):
                document[table][data] = variants(part[table], sizes)
        if part.get("scaling"):
            document["exponent"][data] = exponent(document["scaling"][data])
    return dict(document)


def renewed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What was measured before, with what was measured now in its place: by table, then by data set."""
    own = {"machine": after["machine"], "preset": after["preset"]}
    code = {
        data: {**before["code"].get(data, {}), **after["code"].get(data, {})}
        for data in {**before["code"], **after["code"]}
    }
    tables = {
        table: {**before.get(table, {}), **after.get(table, {})}
        for table in {**before, **after}
        if table not in (*own, "code")
    }
    return {**own, "code": code, **tables}


def exponent(rows: Mapping[str, Any]) -> dict[str, float]:
    """Of loss - floor = a parameters^-b there is too little to fit a floor: b of loss = a parameters^-b,
    and the gain of NDCG@5 a factor of ten, both by least squares over sizes."""
    parameters = np.log([row["parameters"] for row in rows.values()])
    loss = np.log([row["validation_loss"] for row in rows.values()])
    ndcg = [row["ndcg@5"]["mean"] for row in rows.values()]
    slope, gain = np.polyfit(parameters, loss, 1)[0], np.polyfit(parameters / np.log(10), ndcg, 1)[0]
    return {"loss_exponent": float(-slope), "ndcg@5_a_tenfold": float(gain)}


def _by_row(results: Sequence[Result]) -> Runs:
    runs: Runs = defaultdict(lambda: defaultdict(list))
    for result in results:
        for row, by_size in result.measured.items():
            for size, measured in by_size.items():
                runs[row][size].append(measured)
    return {row: runs[row] for row in ORDER if row in runs}


def _summaries(of_row: Mapping[int, Sequence[Measured]], sizes: Sequence[int]) -> dict[str, Any]:
    """Metric (with its cut-off) to interval; coverage and Gini as means over seeds."""
    figures: dict[str, Any] = {}
    for size in sizes:
        runs = of_row[size]
        figures |= {name: value.model_dump() for name, value in summary(runs).items()}
        for name in runs[0].totals:
            figures[f"{name}@{size}"] = float(np.mean([run.totals[name] for run in runs]))
    return figures


def _paired(runs: Runs, sizes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Rival, metric: HiGR less the rival on the same slates, both searching as wide."""
    table: dict[str, dict[str, Any]] = defaultdict(dict)
    for subject in (SUBJECT, f"{SUBJECT}{WIDE}"):
        wide = subject.endswith(WIDE)
        names = [row for row in runs if row != subject and row.endswith(WIDE) == wide]
        for size in sizes if names else ():
            rivals = {row: runs[row][size] for row in names}
            for rival, differences in compare(runs[subject][size], rivals).items():
                table[rival] |= {metric: value.model_dump() for metric, value in differences.items()}
    return dict(table)


def _costs(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Row: parameters, training slates, seconds; means over seeds."""
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        for row in result.measured:
            own = {name: value for name, value in result.figures.items() if isinstance(value, int | float)}
            own["decode_seconds"] = sum(
                seconds
                for name, seconds in result.figures["decode_seconds"].items()
                if name.partition("@")[0] == row
            )
            grouped[row].append(own)
    return {
        row: {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}
        for row, runs in grouped.items()
    }


def _lengths(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Row, length: NDCG at that length."""
    grouped: dict[str, dict[int, list[Measured]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        for row, by_length in result.lengths.items():
            for length, measured in by_length.items():
                grouped[row][length].append(measured)
    return {
        row: {str(length): summary(runs)[f"ndcg@{length}"].model_dump() for length, runs in by_length.items()}
        for row, by_length in grouped.items()
    }


def variants(results: Sequence[Result], sizes: Sequence[int]) -> dict[str, Any]:
    """Changes of the model, as a configuration has them, to its figures; the first are of none.

    Each is set against the unchanged model of the same seeds.
    """
    grouped: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        changes = result.job.changes.get("model", {})
        row = ", ".join(f"{name} {value}" for name, value in changes.items())
        grouped[changes.get("size") or row or AS_IT_IS].append(result)
    by_row = {
        row: {size: [result.measured[SUBJECT][size] for result in of_row] for size in sizes}
        for row, of_row in grouped.items()
    }
    table = {}
    for row, of_row in grouped.items():
        table[row] = _summaries(by_row[row], sizes)
        for name in ("parameters", "training_slates", "validation_loss", "train_seconds"):
            table[row][name] = float(np.mean([result.figures[name] for result in of_row]))
        if row != AS_IT_IS:
            table[row]["difference"] = {
                metric: value.model_dump()
                for size in sizes
                for metric, value in paired(by_row[row][size], by_row[AS_IT_IS][size]).items()
            }
    return table


def _setting(result: Result, best: Mapping[str, Result]) -> dict[str, Any]:
    """A setting that was tried."""
    job = asdict(result.job)
    values = result.measured[result.job.model][5].values["ndcg@5"]
    return {
        "model": result.job.model,
        "changes": job["changes"],
        "validation_loss": result.figures.get("validation_loss"),
        "ndcg@5": float(np.nanmean(values)),
        "chosen": best[result.job.model].job == result.job,
    }


def publish(document: dict[str, Any], path: Path) -> None:
    """<path>.json and <path>.md."""
    pages.publish(document, markdown(document), path)


def tables(document: dict[str, Any]) -> list[Table]:
    """For the terminal."""
    return pages.terminal(_tables(document))


def markdown(document: dict[str, Any]) -> str:
    machine = document["machine"]
    head = (
        f"Preset `{document['preset']}`; one thread a training, {machine['cpu']}, torch {machine['torch']}. "
        "Mean and 95 % interval over users and seeds; differences are paired. Made by `make bench-quality`."
    )
    return pages.markdown(head, _tables(document))


def _tables(document: dict[str, Any]) -> Tables:
    made: Tables = []
    for data, rows in document["datasets"].items():
        for size in (5, 10):
            made.append((f"{data}, slates of {size}", _accuracy(rows, size)))
            against = _against(document, data, size)
            made.append((f"{data}, slates of {size}: HiGR against each at the same beam", against))
        made.append((f"{data}: what it took", _cost_rows(document["costs"][data])))
        if document["slate_length"][data]:
            made.append((f"{data}: NDCG by slate length", _length_rows(document["slate_length"][data])))
    for table in ("ablation", "scaling"):
        for data, rows in document.get(table, {}).items():
            made.append((f"{data}: {table}", _variant_rows(rows)))
    return made


def _accuracy(rows: dict[str, Any], size: int) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [("", *(f"{head}@{size}" for head in SHOWN.values()), f"coverage@{size}")]
    for row in ORDER:
        if row in rows:
            cells = (shown(rows[row].get(f"{name}@{size}")) for name in SHOWN)
            table.append((row, *cells, f"{rows[row][f'coverage@{size}']:.3f}"))
    return table


def _against(document: dict[str, Any], data: str, size: int) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [("", f"NDCG@{size}, difference", "ratio", "p, corrected")]
    for rival in ORDER:
        if rival in document["paired"][data]:
            value = document["paired"][data][rival][f"ndcg@{size}"]
            table.append((rival, shown(value), shown(value["ratio"]), f"{value['p_adjusted']:.4f}"))
    return table


def _cost_rows(costs: dict[str, Any]) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [
        ("", "parameters", "training slates", "epochs", "training, s", "decoding, s")
    ]
    for row in ORDER:
        if row in costs:
            own = costs[row]
            table.append(
                (
                    row,
                    f"{own.get('parameters', 0):,.0f}",
                    f"{own['training_slates']:,.0f}",
                    f"{own.get('epochs', 0):.1f}",
                    f"{own['train_seconds']:.0f}",
                    f"{own['decode_seconds']:.0f}",
                )
            )
    return table


def _length_rows(rows: dict[str, Any]) -> list[tuple[str, ...]]:
    lengths = sorted(map(int, next(iter(rows.values()))))
    table: list[tuple[str, ...]] = [("", *map(str, lengths))]
    for row in ORDER:
        if row in rows:
            table.append((row, *(f"{rows[row][str(length)]['mean']:.4f}" for length in lengths)))
    return table


def _variant_rows(rows: dict[str, Any]) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [
        ("", "parameters", "validation loss", "NDCG@5", "NDCG@10", "NDCG@5, difference", "training, s")
    ]
    for row, own in rows.items():
        table.append(
            (
                row,
                f"{own['parameters']:,.0f}",
                f"{own['validation_loss']:.4f}",
                shown(own["ndcg@5"]),
                shown(own["ndcg@10"]),
                shown(own["difference"]["ndcg@5"]) if "difference" in own else "",
                f"{own['train_seconds']:.0f}",
            )
        )
    return table
