"""What a catalogue that changes every hour costs: first build, update, collision policies, whole bundles.

    python -m benchmarks.catalogue [--items 1000000] [--new 10000]

Each case runs in a process of its own, so that its peak memory is its own. Inputs are made before the
clock starts. Prints a table; writes benchmarks/results/catalogue.json and .md.

    build     a first catalogue of all items, codes given: collision policy, sort, tree, file
    update    read a catalogue of all items, add the new ones, drop as many, tree, file
    reassign, extend, share    the policy alone over all items, a fifth of which have to move
    bundle    `higr catalog update` from directory to directory: verify, encode, policy, write, verify
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from higr import stages
from higr.bundle import Bundle, derive_bundle
from higr.catalog import Catalog
from higr.catalog_update import Changes, update_bundle
from higr.config import TokenizerConfig, load_config
from higr.data.schemas import ITEMS
from higr.files import atomic_file, write_json, write_table
from higr.tokenizer.catalogue import build_catalog, next_catalog
from higr.tokenizer.collisions import resolve
from higr.tokenizer.encoding import Encoding
from higr.tokenizer.tokenizer import Tokenizer

RESULTS = Path(__file__).parent / "results"
SIZE, DEPTH, WIDTH = 256, 3, 32
SKEW = 0.65
"""Codewords are drawn by a Zipf law of this exponent: about a fifth of a million items move."""
RUN = {
    "data.simulator.items": 2000,
    "data.simulator.users": 100,
    "tokenizer.codebook_size": SIZE,
    "tokenizer.epochs": 3,
    "tokenizer.stability": False,
    "tokenizer.gate": {
        "max_collision": 1,
        "min_concentration": 0,
        "min_consistency": 0,
        "min_codebook_use": 0,
    },
    "training.epochs": 1,
    "evaluation.bootstrap": 100,
}
"""Overrides of the preset `nano`: quality does not matter here, the shapes do."""


@dataclass(frozen=True)
class Given:
    """A tokenizer whose codes are drawn instead of learnt: all that a catalogue asks of one."""

    codebooks: np.ndarray
    config: TokenizerConfig = field(
        default_factory=lambda: TokenizerConfig(codebook_size=SIZE, depth=DEPTH, latent_dim=WIDTH)
    )
    id: str = "given"


def encoded(prefix: str, count: int, seed: int) -> tuple[Encoding, Tokenizer]:
    """Items of skewed codes, with latents near what the codes stand for."""
    books = np.stack(
        [np.random.default_rng(0).normal(size=(SIZE, WIDTH)) * 0.5**level for level in range(DEPTH)]
    )
    rng = np.random.default_rng(seed)
    weight = np.arange(1, SIZE + 1) ** -SKEW
    draws = rng.choice(SIZE, size=(count, DEPTH), p=weight / weight.sum())
    order = np.random.default_rng(1).permuted(np.tile(np.arange(SIZE), (DEPTH, 1)), axis=1)
    codes = np.stack([order[level][draws[:, level]] for level in range(DEPTH)], axis=1).astype(np.int32)
    latents = rng.normal(scale=0.5**DEPTH, size=(count, WIDTH)).astype(np.float32)
    for level in range(DEPTH):
        latents += books[level][codes[:, level]].astype(np.float32)
    ids = tuple(f"{prefix}{n:08d}" for n in range(count))
    tokenizer = cast(Any, Given(books.astype(np.float32)))
    return Encoding(ids, codes, latents, np.zeros(count, np.float32)), tokenizer


def prepare_bundle(folder: Path, items: int, new: int) -> None:
    """A bundle of a small run whose catalogue was blown up to `items`, and a file of `new` items."""
    config, run = load_config("nano", RUN), folder / "run"
    for stage in stages.STAGES.values():
        stage(config, run, lambda *_: None)
    bundle = Bundle.open(run / "bundle")
    rng = np.random.default_rng(0)
    like = bundle.items.take(rng.integers(bundle.items.num_rows, size=items + new))
    place = ITEMS.get_field_index("item_id")
    names = pa.array([f"item{n:08d}" for n in range(items + new)])
    like = like.set_column(place, ITEMS.field("item_id"), names)
    keys = rng.choice(SIZE**DEPTH, items, replace=False)
    codes = np.stack([keys // SIZE**level % SIZE for level in range(DEPTH)], axis=1)
    catalog = Catalog.build(
        names[:items].to_pylist(), codes, SIZE, bundle.catalog.tokenizer_id, parent=bundle.catalog.version
    )
    derive_bundle(bundle, folder / "bundle", like.slice(0, items), catalog)
    write_table(folder / "new.parquet", like.slice(items))


def prepare(folder: Path, items: int, new: int) -> None:
    """All inputs on disk."""
    encoding, tokenizer = encoded("item", items, 2)
    catalog, _ = build_catalog(encoding, tokenizer)
    catalog.save(folder / "catalog.parquet")
    prepare_bundle(folder, items, new)


def _build(folder: Path, items: int, new: int) -> Callable[[], dict[str, Any]]:
    encoding, tokenizer = encoded("item", items, 2)

    def work() -> dict[str, Any]:
        catalog, report = build_catalog(encoding, tokenizer)
        assert catalog.tree is not None
        catalog.save(folder / "built.parquet")
        return {"moved": report.moved}

    return work


def _update(folder: Path, items: int, new: int) -> Callable[[], dict[str, Any]]:
    encoding, tokenizer = encoded("new", new, 3)
    gone = [f"item{n:08d}" for n in range(new)]

    def work() -> dict[str, Any]:
        catalog, report = next_catalog(Catalog.load(folder / "catalog.parquet"), tokenizer, encoding, gone)
        assert catalog.tree is not None
        catalog.save(folder / "updated.parquet")
        return {"moved": 0 if report is None else report.moved}

    return work


def _policy(name: Any) -> Callable[[Path, int, int], Callable[[], dict[str, Any]]]:
    def case(folder: Path, items: int, new: int) -> Callable[[], dict[str, Any]]:
        encoding, tokenizer = encoded("item", items, 2)

        def work() -> dict[str, Any]:
            _, report = resolve(
                name, encoding.item_ids, encoding.codes, encoding.latents, tokenizer.codebooks
            )
            return {"moved": report.moved, "colliding": report.colliding}

        return work

    return case


def _bundle(folder: Path, items: int, new: int) -> Callable[[], dict[str, Any]]:
    def work() -> dict[str, Any]:
        changes = Changes(folder / "new.parquet", remove=tuple(f"item{n:08d}" for n in range(new)))
        report = update_bundle(folder / "bundle", folder / "out", changes, lambda *_: None)
        return {"moved": 0 if report.collisions is None else report.collisions.moved}

    return work


CASES = {
    "build": _build,
    "update": _update,
    "reassign": _policy("reassign"),
    "extend": _policy("extend"),
    "share": _policy("share"),
    "bundle": _bundle,
}


def measure(folder: Path, items: int, new: int) -> list[dict[str, Any]]:
    """One row a case: seconds, peak memory, memory when the clock started, what came of it."""
    prepare(folder, items, new)
    rows = []
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.catalogue", "--case", case, "--folder", str(folder)]
        done = subprocess.run(
            [*command, "--items", str(items), "--new", str(new)], check=True, capture_output=True, text=True
        )
        rows.append({"case": case, **json.loads(done.stdout)})
    return rows


def _child(case: str, folder: Path, items: int, new: int) -> None:
    torch.set_num_threads(1)
    work = CASES[case](folder, items, new)
    before = _memory_mb("VmRSS")
    started = time.perf_counter()
    figures = work()
    seconds = time.perf_counter() - started
    sys.stdout.write(
        json.dumps({"seconds": seconds, "peak_mb": _memory_mb("VmHWM"), "mb_before": before, **figures})
    )


def _memory_mb(name: str) -> int:
    """VmHWM (peak) or VmRSS (now) of this process; Linux only. The peak that `getrusage` knows counts what
    the parent held when it started the child."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) // 1024
    raise OSError(f"/proc/self/status has no {name}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--new", type=int, default=10_000)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        _child(arguments.case, arguments.folder, arguments.items, arguments.new)
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), arguments.items, arguments.new)
    document = {
        "machine": machine(threads=1),
        "items": arguments.items,
        "new": arguments.new,
        "codebook_size": SIZE,
        "depth": DEPTH,
        "rows": rows,
    }
    write_json(RESULTS / "catalogue.json", document)
    with atomic_file(RESULTS / "catalogue.md") as aside:
        aside.write_text(_markdown(document))
    table = Table(*HEAD)
    for row in rows:
        table.add_row(*_cells(row))
    Console().print(table)


HEAD = ("case", "seconds", "peak MB", "MB of inputs and libraries", "items moved")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["case"],
        f"{row['seconds']:.2f}",
        f"{row['peak_mb']:,}",
        f"{row['mb_before']:,}",
        f"{row['moved']:,}",
    )


def _markdown(document: dict[str, Any]) -> str:
    lines = [
        f"{document['items']:,} items, {document['new']:,} new ones, as many removed, K {SIZE}, D {DEPTH}, "
        f"one thread of {document['machine']['cpu']}.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|---|---:|---:|---:|---:|",
        *("| " + " | ".join(_cells(row)) + " |" for row in document["rows"]),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
