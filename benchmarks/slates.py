"""How long one slate takes on one core: HiGR's reference engine, the incumbent, popularity.

    python -m benchmarks.slates --bundle runs/demo/bundle

All answer the same contexts from the same bundle in one run, in turns, so that a machine that slows
down slows all of them. Prints a table; writes benchmarks/results/slates.json and .md.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from higr.bundle import Bundle
from higr.decode.recommender import HiGRRecommender
from higr.files import atomic_file, write_json
from higr.slate import Recommender, UserContext

WARM_UP = 10
SLATES = 200
BATCH = 64
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bundle = Bundle.open(arguments.bundle)
    size = bundle.manifest.config["decode"]["slate_size"]
    contexts = _contexts(bundle, WARM_UP + SLATES, arguments.seed)
    recommenders: dict[str, Recommender] = {
        "higr": HiGRRecommender.from_bundle(bundle, "reference"),
        "incumbent": bundle.baseline,
        "popularity": bundle.baseline.popularity,
    }
    alone = {name: [] for name in recommenders}  # type: dict[str, list[float]]
    for context in contexts:
        for name, recommender in recommenders.items():
            started = time.perf_counter()
            recommender.recommend([context], size)
            alone[name].append((time.perf_counter() - started) * 1e3)
    rows = [
        {
            "system": name,
            "p50_ms": float(np.percentile(times[WARM_UP:], 50)),
            "p99_ms": float(np.percentile(times[WARM_UP:], 99)),
            "slates_per_s": _throughput(recommenders[name], contexts, size),
        }
        for name, times in alone.items()
    ]
    document = {
        "machine": machine(threads=1),
        "bundle": bundle.version,
        "items": len(bundle.catalog),
        "parameters": sum(p.numel() for p in bundle.model.parameters()),
        "slate_size": size,
        "beam_width": bundle.manifest.config["decode"]["beam_width"],
        "seed": arguments.seed,
        "batch": BATCH,
        "rows": rows,
    }
    write_json(RESULTS / "slates.json", document)
    with atomic_file(RESULTS / "slates.md") as aside:
        aside.write_text(_markdown(document))
    table = Table("system", "p50 ms", "p99 ms", f"slates/s, {BATCH} at once")
    for row in rows:
        table.add_row(*_cells(row))
    Console().print(table)


def _contexts(bundle: Bundle, count: int, seed: int) -> list[UserContext]:
    """Histories of 50 random items of the catalogue: the cost does not depend on which."""
    rng = np.random.default_rng(seed)
    ids = np.array(bundle.catalog.item_ids, dtype=object)
    length = min(50, len(ids))
    return [
        UserContext(
            f"user {n}",
            tuple(rng.choice(ids, length, replace=False)),
            tuple(rng.integers(1, 4, length).tolist()),
        )
        for n in range(count)
    ]


def _throughput(recommender: Recommender, contexts: list[UserContext], size: int) -> float:
    started = time.perf_counter()
    for first in range(0, len(contexts), BATCH):
        recommender.recommend(contexts[first : first + BATCH], size)
    return len(contexts) / (time.perf_counter() - started)


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return row["system"], f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['slates_per_s']:.0f}"


def _markdown(document: dict[str, Any]) -> str:
    lines = [
        f"One slate of {document['slate_size']} from {document['items']:,} items, "
        f"beam {document['beam_width']}, "
        f"{document['parameters'] / 1e6:.1f}M parameters, one thread of {document['machine']['cpu']}.",
        "",
        f"| system | p50 ms | p99 ms | slates/s, {document['batch']} at once |",
        "|---|---:|---:|---:|",
        *("| " + " | ".join(_cells(row)) + " |" for row in document["rows"]),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
