"""What alignment costs: a step against supervised passes over the same tokens, memory beside DPO's, pairs.

    python -m benchmarks.alignment_speed [--rounds 10]

Clocks take turns, round by round, so that all see the same machine. Peak memory is that of a process of
its own, which takes two steps at size `base`; what such a process has before its first step is taken off.
Writes benchmarks/results/alignment_speed.json and .md.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console

from benchmarks import pages
from benchmarks.machine import machine
from higr.align.objectives import build_objective
from higr.align.pairs import build_pairs
from higr.catalog import Catalog
from higr.config import AlignConfig, ModelConfig, PreferenceConfig, TrainingConfig
from higr.data.schemas import SLATES
from higr.model.higr import HiGR
from higr.model.inputs import ContextBatch, ProfileVocabulary
from higr.training.examples import Examples
from higr.training.targets import Targets

RESULTS = Path(__file__).parent / "results" / "alignment_speed"
ITEMS, DEPTH, CODES, SLATE = 8_000, 3, 256, 5
OBJECTIVES = ("orpo", "orpo_length_averaged", "simpo", "dpo", "f_grpo")
SLATES_MADE = 50_000


def parts(size: str | None, batch: int) -> tuple[HiGR, Catalog, Examples]:
    """A model, a catalogue of random codes, and a batch of pairs."""
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(CODES, size=(ITEMS, DEPTH)), axis=0)
    catalog = Catalog.build([f"i{n:05d}" for n in range(len(codes))], codes, CODES)
    torch.manual_seed(0)
    config = ModelConfig.model_validate(
        {"size": size, "max_slate_size": SLATE} if size else {"max_slate_size": SLATE}
    )
    model = HiGR(config, DEPTH, CODES, ProfileVocabulary({}), catalog.tokenizer_id)
    history = torch.randint(len(catalog), (batch, config.history_length), dtype=torch.int32)
    contexts = ContextBatch(
        history,
        torch.full(history.shape, 2, dtype=torch.int8),
        torch.zeros((batch, 0), dtype=torch.int32),
    )
    items = torch.stack([torch.randperm(len(catalog))[: 2 * SLATE] for _ in range(batch)])
    return model, catalog, Examples(contexts, Targets(torch.arange(batch), items.view(batch, 2, SLATE)))


def steps(batch: int) -> dict[str, Callable[[], None]]:
    """Forward and backward pass by name; `supervised` is two, over the chosen and the rejected slates."""
    model, catalog, examples = parts(None, batch)
    model.train()

    def supervised() -> None:
        for items in examples.targets.items.unbind(dim=1):
            total, count = model.losses(examples.contexts, items, catalog.code_tensor)
            (total / count).backward()

    def of(name: str) -> Callable[[], None]:
        config = AlignConfig.model_validate({"objective": name})
        objective = build_objective(model, catalog, config, slate_size=SLATE)

        def step() -> None:
            objective.train()
            total, count = objective(examples)
            (total / count).backward()

        return step

    return {"supervised, twice": supervised, **{name: of(name) for name in OBJECTIVES}}


def clocks(rounds: int, batch: int) -> dict[str, list[float]]:
    """Seconds a step, round by round; the first round only warms up."""
    made = steps(batch)
    found: dict[str, list[float]] = {name: [] for name in made}
    for round_ in range(rounds + 1):
        for name, step in made.items():
            started = time.perf_counter()
            step()
            if round_:
                found[name].append(time.perf_counter() - started)
    return found


def peak(objective: str, size: str, batch: int) -> None:
    """In a process of its own: print the bytes that two steps of AdamW take beyond what the imports do."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model, catalog, examples = parts(size, batch)
    config = AlignConfig.model_validate({"objective": objective})
    aligned = build_objective(model, catalog, config, slate_size=SLATE).train()
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        total, count = aligned(examples)
        (total / count).backward()
        optimizer.step()
    sys.stdout.write(str((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024))


def peaks(size: str, batch: int) -> dict[str, int]:
    """Peak bytes by objective."""
    command = [sys.executable, "-m", "benchmarks.alignment_speed", "--size", size, "--batch", str(batch)]
    return {
        name: int(subprocess.run([*command, "--peak", name], check=True, capture_output=True).stdout)
        for name in ("orpo", "simpo", "dpo")
    }


def pairs_a_second(rounds: int) -> float:
    """Slates of five to ten exposures, a third engaged with, the default mixture."""
    _, catalog, _ = parts(None, 1)
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 11, SLATES_MADE)
    shown = [rng.choice(len(catalog), length, replace=False) for length in lengths]
    feedback = [np.where(rng.random(length) < 1 / 3, 2, 1).astype(np.int8) for length in lengths]
    slates = pa.table(
        {
            "slate_id": [f"s{n}" for n in range(SLATES_MADE)],
            "user_id": ["u"] * SLATES_MADE,
            "timestamp": [0] * SLATES_MADE,
            "history_cutoff": [0] * SLATES_MADE,
            "split": ["train"] * SLATES_MADE,
            "item_ids": [[catalog.item_ids[item] for item in items] for items in shown],
            "watch_seconds": [[None] * length for length in lengths],
            "strength": [(marks == 2) * rng.random(len(marks), dtype=np.float32) for marks in feedback],
            "feedback": feedback,
            "surface": [None] * SLATES_MADE,
        }
    ).cast(SLATES)
    codebooks = torch.randn(DEPTH, CODES, 16, generator=torch.Generator().manual_seed(0))
    training = TrainingConfig(target_size=10)
    best = min(
        _seconds(lambda: build_pairs(slates, catalog, codebooks, PreferenceConfig(), training, 0))
        for _ in range(rounds)
    )
    return SLATES_MADE / best


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", default="base")
    parser.add_argument("--peak", choices=OBJECTIVES, help="measure one objective's memory in this process")
    arguments = parser.parse_args()
    if arguments.peak:
        peak(arguments.peak, arguments.size, arguments.batch)
        return
    torch.set_num_threads(1)
    document = measure(arguments.rounds, arguments.batch, arguments.size)
    tables = _tables(document)
    head = (
        f"One thread, {document['machine']['cpu']}, torch {document['machine']['torch']}. "
        "Made by `python -m benchmarks.alignment_speed`."
    )
    pages.publish(document, pages.markdown(head, tables), RESULTS)
    for table in pages.terminal(tables):
        Console(width=120).print(table)


def measure(rounds: int, batch: int, size: str) -> dict[str, Any]:
    """All of it; the document."""
    seconds = clocks(rounds, batch)
    passes = seconds["supervised, twice"]
    memory = peaks(size, batch)
    return {
        "machine": machine(threads=1),
        "step": {
            name: {
                "seconds": median(values),
                "ratio": median(a / b for a, b in zip(values, passes, strict=True)),
            }
            for name, values in seconds.items()
        },
        "peak": {
            "size": size,
            **{name: {"bytes": value, "ratio": value / memory["dpo"]} for name, value in memory.items()},
        },
        "pairs_a_second": pairs_a_second(3),
    }


def _tables(document: dict[str, Any]) -> pages.Tables:
    step = [(name, f"{own['seconds']:.3f}", f"{own['ratio']:.2f}") for name, own in document["step"].items()]
    peak = {name: own for name, own in document["peak"].items() if name != "size"}
    memory = [(name, f"{own['bytes'] / 2**20:,.0f}", f"{own['ratio']:.2f}") for name, own in peak.items()]
    return [
        ("A step, forward and backward", [("", "seconds", "of two supervised passes"), *step]),
        (f"Peak memory at size {document['peak']['size']}", [("", "MiB", "of DPO's"), *memory]),
        ("Pairs", [("", "slates a second"), ("default mixture", f"{document['pairs_a_second']:,.0f}")]),
    ]


if __name__ == "__main__":
    main()
