"""Semantic IDs by four tokenizers on public data: quality with intervals, ablations, sweeps, speed.

    python -m benchmarks.tokenizer [--data ../shared/data] [--seeds 5] [--workers 2]

Equal depth, codebook size, content and epochs for all. The two with an encoder get the same number of
settings to choose from, on seeds that are not used again and by a figure that knows no category: the
share of items with a content neighbour under their prefix of D - 1 codes, less the collision rate.
k-means has nothing to choose. Prints tables; writes benchmarks/results/tokenizer.json and .md.
"""

import argparse
import itertools
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import tokenizer_speed
from benchmarks.machine import machine
from benchmarks.tokenizer_data import load
from benchmarks.tokenizer_runs import Job, run, store, summarise
from higr.errors import HigrError
from higr.files import atomic_file, read_json, write_json

RESULTS = Path(__file__).parent / "results"
DATASETS = ("kuairec", "kuairand", "beauty")
ENRICHED = "kuairec_enriched"
TITLES = "beauty_titles"
SIZE, DEPTH, EPOCHS = 64, 3, 50
COMMON = {"codebook_size": SIZE, "depth": DEPTH, "epochs": EPOCHS}
PUBLISHED_RQ_VAE = {"kind": "rq_vae", "latent": "free", "refit": False}
KINDS: dict[str, dict[str, Any]] = {
    "pcrq_vae": {"kind": "pcrq_vae"},
    "rq_vae": PUBLISHED_RQ_VAE,
    "balanced_kmeans": {"kind": "balanced_kmeans"},
    "rq_kmeans": {"kind": "rq_kmeans"},
}
GRID = {
    "latent_dim": (12, 16, 24, 32),
    "learning_rate": (1e-3, 3e-3),
}
TUNING_SEED = 1000
ABLATIONS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "no contrast": {"contrast_weight": 0.0},
    "no global loss": {"global_weight": 0.0},
    "loss a level instead of the global one": {"global_weight": 0.0, "layer_weight": 0.1},
    "loss a level of weight 1": {"global_weight": 0.0, "layer_weight": 1.0},
    "contrast on all levels": {"contrast_levels": "all"},
    "contrast moves codebooks": {"contrast_gradient": "codebooks"},
    "latent free": {"latent": "free"},
    "latent free, no contrast": {"latent": "free", "contrast_weight": 0.0},
    "no refit of codebooks": {"refit": False},
    "no refit, latent free": {"refit": False, "latent": "free"},
    "RQ-VAE with refit and sphere": {"kind": "rq_vae", "latent": "sphere", "refit": True},
}
SWEEPS: dict[str, tuple[dict[str, Any], ...]] = {
    "temperature": ({"temperature": 0.05}, {"temperature": 0.2}, {"temperature": 0.5}),
    "contrast_weight": ({"contrast_weight": 0.03}, {"contrast_weight": 0.1}, {"contrast_weight": 0.3}),
    "global_weight": ({"global_weight": 0.01}, {"global_weight": 1.0}),
    "level_weights": ({"level_weights": (0.1, 1.0)}, {"level_weights": (1.0, 1.0)}),
    "neighbours": ({"neighbours": 3}, {"neighbours": 40}),
    "neighbours at contrast_weight 0.1": (
        {"contrast_weight": 0.1, "neighbours": 3},
        {"contrast_weight": 0.1, "neighbours": 40},
    ),
}
POSITIVES: dict[str, dict[str, Any]] = {
    "none": {"contrast_weight": 0.0},
    **{kind: {"positives": kind} for kind in ("content", "cooccurrence", "mixed")},
    **{
        f"cooccurrence, contrast_weight {weight}": {"positives": "cooccurrence", "contrast_weight": weight}
        for weight in (0.1, 1.0)
    },
}


def chosen(data: str, folder: Path, workers: int) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """The setting of each kind with an encoder, and the whole table it was chosen from."""
    settings = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    jobs = [
        Job("tuning", kind, data, COMMON | KINDS[kind] | setting, TUNING_SEED)
        for kind in ("pcrq_vae", "rq_vae")
        for setting in settings
    ]
    table = []
    for job, figures in run(jobs, folder, workers):
        setting = {name: job.changes[name] for name in GRID}
        score = figures["neighbours"][-2] - figures["collision"]
        table.append({"kind": job.row, **setting, "score": score, "collision": figures["collision"]})
    best = {
        kind: max((r for r in table if r["kind"] == kind), key=lambda r: r["score"])
        for kind in ("pcrq_vae", "rq_vae")
    }
    return {kind: {name: row[name] for name in GRID} for kind, row in best.items()}, table


def plan(settings: dict[str, dict[str, Any]], seeds: int) -> list[Job]:
    """Every training but the tuning."""
    pcrq = COMMON | KINDS["pcrq_vae"] | settings["pcrq_vae"]
    rows: list[tuple[str, str, str, dict[str, Any]]] = [
        ("kinds", kind, data, COMMON | KINDS[kind] | settings.get(kind, {}))
        for data in DATASETS
        for kind in KINDS
    ]
    rows += [("ablation", name, "kuairec", pcrq | changes) for name, changes in ABLATIONS.items() if changes]
    rows += [
        ("sweep", f"{name}: {_said(changes)}", "kuairec", pcrq | changes)
        for name, points in SWEEPS.items()
        for changes in points
    ]
    rows += [
        ("positives", name, data, pcrq | changes)
        for data in ("kuairand", TITLES)
        for name, changes in POSITIVES.items()
    ]
    rows += [("enrichment", kind, ENRICHED, COMMON | KINDS[kind] | settings.get(kind, {})) for kind in KINDS]
    few = min(seeds, 3)
    return [
        Job(table, row, data, changes, seed)
        for table, row, data, changes in rows
        for seed in range(seeds if table == "kinds" else few)
    ]


def _said(changes: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in changes.items())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument(
        "--speed", action="store_true", help="measure the speed again, keep the quality there is"
    )
    arguments = parser.parse_args()
    try:
        document = read_json(RESULTS / "tokenizer.json") if arguments.speed else measure_quality(arguments)
        publish(document)
        with tempfile.TemporaryDirectory() as work:
            kuairec = load("kuairec", arguments.data, Path(work))
        document["speed"] = tokenizer_speed.measure(kuairec, os.cpu_count() or 1)
    except HigrError as error:
        sys.exit(f"benchmarks.tokenizer: {error}")
    publish(document)
    for title, rows in _tables(document):
        show = Table(*rows[0], title=title)
        for row in rows[1:]:
            show.add_row(*row)
        Console(width=160).print(show)


def measure_quality(arguments: argparse.Namespace) -> dict[str, Any]:
    """All trainings; the document but for its speed."""
    counts: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for data in (*DATASETS, ENRICHED, TITLES):
            with tempfile.TemporaryDirectory() as work:
                loaded = load(data, arguments.data, Path(work))
            store(loaded, folder)
            counts[data] = len(loaded.embeddings), loaded.left_out
        settings, tuning = chosen("kuairec", folder, arguments.workers)
        grouped: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
        for job, figures in run(plan(settings, arguments.seeds), folder, arguments.workers):
            grouped[job.table, job.data, job.row].append(figures)
    return assemble(grouped, settings, tuning, counts)


def assemble(
    grouped: dict[tuple[str, str, str], list[dict[str, Any]]],
    settings: dict[str, dict[str, Any]],
    tuning: list[dict[str, Any]],
    counts: dict[str, tuple[int, int]],
) -> dict[str, Any]:
    """The document but for its speed. counts: items with and without content, by data set."""
    tables: dict[str, Any] = defaultdict(lambda: defaultdict(dict))
    for (table, data, row), runs in grouped.items():
        tables[table][data][row] = summarise(runs)
    return {
        "machine": machine(threads=1),
        "settings": {"common": COMMON, **settings},
        "items": {name: {"items": items, "left_out": left_out} for name, (items, left_out) in counts.items()},
        "datasets": tables["kinds"],
        "ablation": {"as it is": tables["kinds"]["kuairec"]["pcrq_vae"], **tables["ablation"]["kuairec"]},
        "sweep": tables["sweep"]["kuairec"],
        "positives": tables["positives"],
        "enrichment": tables["enrichment"][ENRICHED],
        "tuning": tuning,
        "speed": {},
    }


def publish(document: dict[str, Any]) -> None:
    """Write what there is: hours of quality are not lost with a minute of speed."""
    write_json(RESULTS / "tokenizer.json", document)
    with atomic_file(RESULTS / "tokenizer.md") as aside:
        aside.write_text(markdown(document))


COLUMNS = ("collision", "concentration", "consistency")
SECOND = ("concentration_second_category", "consistency_second_category")
COMPANIONS = ("companions_depth_1", "companions_depth_2")


def _tables(document: dict[str, Any]) -> list[tuple[str, list[tuple[str, ...]]]]:
    tables = []
    for data, kinds in _ordered(document["datasets"], DATASETS).items():
        counted = document["items"][data]
        title = f"{data}: {counted['items']:,} items, {counted['left_out']:,} without content left out"
        tables.append((title, _quality(_ordered(kinds, KINDS))))
    ablation = _ordered(document["ablation"], ABLATIONS)
    tables.append(("kuairec, PCRQ-VAE without one thing at a time", _quality(ablation)))
    tables.append(("kuairec, what the paper leaves open", _quality(document["sweep"])))
    for data, rows in _ordered(document["positives"], ("kuairand", TITLES)).items():
        tables.append((f"{data}, positives of the contrast", _quality(_ordered(rows, POSITIVES))))
    tables.append(
        ("kuairec, with the words on covers as enrichment", _quality(_ordered(document["enrichment"], KINDS)))
    )
    if document["speed"]:
        tables.append(("items encoded a second", _rates(document["speed"]["encode"])))
    return tables


def _ordered(rows: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Rows in the order of `names`: JSON on disk has them by the alphabet."""
    return {name: rows[name] for name in names if name in rows}


def _quality(rows: dict[str, Any]) -> list[tuple[str, ...]]:
    names = [name for name in (*COLUMNS, *SECOND, *COMPANIONS) if name in next(iter(rows.values()))]
    heads = [name.replace("_second_category", ", second level").replace("_depth_", " at ") for name in names]
    table: list[tuple[str, ...]] = [("", *heads, "perplexity by level", "neighbours", "stability", "seconds")]
    for row, summary in rows.items():
        table.append(
            (
                row,
                *(_shown(summary[name]) for name in names),
                " ".join(f"{value:.1f}" for value in summary["perplexity"]),
                f"{summary['neighbours'][-2]:.3f}",
                f"{summary['stability'][0]:.2f}" if "stability" in summary else "",
                f"{summary['seconds']['mean']:.1f}",
            )
        )
    return table


def _shown(value: dict[str, float]) -> str:
    return f"{value['mean']:.4f} ±{value['high'] - value['mean']:.4f}"


def _rates(encode: dict[str, Any]) -> list[tuple[str, ...]]:
    threads = [name for name in encode if name.startswith("threads_")]
    table: list[tuple[str, ...]] = [("", *(name.replace("_", " ") for name in threads))]
    table += [(case, *(f"{encode[name][case]:,.0f}" for name in threads)) for case in encode[threads[0]]]
    return table


def markdown(document: dict[str, Any]) -> str:
    """The tables of the document, with what they were measured on."""
    settings = document["settings"]
    lines = [
        f"K {SIZE}, D {DEPTH}, {EPOCHS} epochs; one thread a training, {document['machine']['cpu']}, torch "
        f"{document['machine']['torch']}. Mean and half of the 95 % interval over seeds. Settings chosen: "
        + "; ".join(f"{kind} {_said(settings[kind])}" for kind in ("pcrq_vae", "rq_vae"))
        + ". Seconds are of trainings side by side. Made by `make bench-tokenizer`.",
    ]
    for title, rows in _tables(document):
        lines += ["", f"## {title}", "", _line(rows[0]), "|---" + "|---:" * (len(rows[0]) - 1) + "|"]
        lines += [_line(row) for row in rows[1:]]
    if document["speed"]:
        lines += _costs(document["speed"])
    return "\n".join(lines) + "\n"


def _costs(speed: dict[str, Any]) -> list[str]:
    lines = ["", "## training on 10,728 items, K 256, mining included, one thread", ""]
    lines += [f"- {kind}: {seconds:.0f} s" for kind, seconds in speed["train_kuairec_seconds"].items()]
    lines += ["", "## a catalogue of 1,000,000 items, K 256, D 3", ""]
    lines += [
        f"- {row['case']}: {row['seconds']:.1f} s, peak {row['peak_mb']:,} MB"
        for row in speed["catalogue_1M"]
    ]
    lines += ["", "## the prefix tree", ""]
    lines += [
        f"- {row['items']:,} items: built in {row['build_s']:.2f} s, {row['tree_mb']:.0f} MB; in a decode "
        f"step {row['inside_us']:.0f} µs, {row['share_inside']:.2%}, of which the mask "
        f"{row['mask_us']:.0f} µs, {row['share_mask']:.2%}; by itself {row['alone_us']:.0f} µs, "
        f"{row['share_alone']:.2%}"
        for row in speed["prefix_tree"]
    ]
    return lines


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
