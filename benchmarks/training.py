"""What training costs beside its matrix products, and whether data or processes get in its way.

    python -m benchmarks.training [--seed 0] [--out benchmarks/results]

Loader: slates a second out of shards on disk, in training order, against what a model consumes.
Step: time of a whole training step (batch, forward, backward, clipping, AdamW, curve) against the
matrix products of that step run alone on operands of the same shapes and layouts. Both are taken in
turn, so that a busy machine slows both. Processes: the losses of FSDP over two against those of one.
On a GPU also model FLOPs utilisation. Data are uniform random: their cost does not depend on which.
Intervals are the 5th to 95th percentile over steps, or over epochs of the loader.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.gemms import Gemms
from benchmarks.machine import machine
from benchmarks.prefix_tree import MODEL
from higr.config import ModelConfig, TrainingConfig, load_config
from higr.files import write_json
from higr.model.higr import HiGR
from higr.model.inputs import ContextBatch, ProfileVocabulary
from higr.training.batches import Batches, InMemory
from higr.training.curves import read_steps
from higr.training.examples import Examples
from higr.training.fit import fit
from higr.training.shards import Shards, write_shards
from higr.training.targets import Targets
from higr.training.world import World

ITEMS, DEPTH, CODES, SLATE = 100_000, 3, 256, 5
ROWS, SHARDS = 200_000, 8
WARM_UP = 3
STEPS = 12
PEAK = {"A100": 312e12, "H100": 989e12, "H200": 989e12}
"""Dense bf16 FLOP a second by the maker's data sheet."""


@dataclass(frozen=True)
class Case:
    """A model and the slates of one of its steps."""

    name: str
    model: ModelConfig
    batch_size: int


CASES = (
    Case("run preset nano", load_config("nano").model, 64),
    Case("run preset kuairand", load_config("kuairand").model, 128),
    Case("width 512", MODEL, 16),
)


@dataclass(frozen=True)
class Interval:
    """A median and the 5th and 95th percentile."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Interval":
        low, median, high = np.percentile(values, [5, 50, 95]).tolist()
        return cls(median, low, high)

    def __str__(self) -> str:
        return f"{self.median:,.2f} ({self.low:,.2f}-{self.high:,.2f})"


@dataclass(frozen=True)
class Step:
    """Attributes:
    parameters: of the model.
    gflop: of the matrix products of a step.
    step_ms, gemm_ms: a step; its matrix products alone.
    ratio: one over the other, step by step.
    slates_per_s: consumed.
    loader_ratio: slates the loader gives over those consumed.
    utilisation: model FLOPs over what the GPU could do; None without one.
    """

    name: str
    parameters: int
    batch_size: int
    gflop: float
    step_ms: Interval
    gemm_ms: Interval
    ratio: Interval
    slates_per_s: Interval
    loader_ratio: float
    utilisation: float | None


def random_examples(count: int, model: ModelConfig, seed: int) -> Examples:
    """Full histories and full slates."""
    draw = torch.Generator().manual_seed(seed)
    items = torch.randint(0, ITEMS, (count, model.history_length), generator=draw, dtype=torch.int32)
    contexts = ContextBatch(
        items, torch.ones_like(items, dtype=torch.int8), torch.zeros((count, 0), dtype=torch.int32)
    )
    return Examples(
        contexts,
        Targets(torch.arange(count), torch.randint(0, ITEMS, (count, SLATE), generator=draw)),
    )


def build(model: ModelConfig, seed: int) -> tuple[HiGR, Tensor]:
    """A model with random weights, and (N, D) random codes."""
    torch.manual_seed(seed)
    built = HiGR(model, DEPTH, CODES, ProfileVocabulary({}), "benchmark")
    return built, torch.randint(0, CODES, (ITEMS, DEPTH))


def loader_speed(batch_size: int, seed: int) -> tuple[Interval, float]:
    """Slates a second from shards on disk, and the seconds it took to open and verify them."""
    data = random_examples(ROWS, MODEL, seed)
    with tempfile.TemporaryDirectory() as directory:
        write_shards(Path(directory) / "train", [data], SHARDS)
        started = time.perf_counter()
        batches = Batches(Shards(Path(directory) / "train"), batch_size, seed=seed)
        opened = time.perf_counter() - started
        speeds = []
        for epoch in range(6):
            started = time.perf_counter()
            for batch in batches.epoch(epoch):
                assert len(batch) == batch_size
            speeds.append(ROWS / (time.perf_counter() - started))
    return Interval.of(speeds), opened


def step_cost(case: Case, loader: Interval, seed: int) -> Step:
    """Steps of a real training and their matrix products, in turn."""
    device = World.join("none").device
    model, codes = build(case.model, seed)
    settings = TrainingConfig(
        epochs=1,
        batch_size=case.batch_size,
        target_size=SLATE,
        precision="bf16" if device.type == "cuda" else "fp32",
    )
    data = random_examples(case.batch_size * (WARM_UP + STEPS), case.model, seed)
    gemms = _record(model, data[: case.batch_size], codes, settings, device)
    steps: list[float] = []
    products: list[float] = []
    ended = time.perf_counter()

    def after(label: str, step: int, total: int) -> None:
        nonlocal ended
        steps.append(time.perf_counter() - ended)
        started = time.perf_counter()
        gemms.run(device)
        if device.type == "cuda":
            torch.cuda.synchronize()
        ended = time.perf_counter()
        products.append(ended - started)

    fit(model, InMemory(data, 1), None, codes, settings, seed, progress=after)
    steps, products = steps[WARM_UP:], products[WARM_UP:]
    consumed = Interval.of([case.batch_size / seconds for seconds in steps])
    return Step(
        name=case.name,
        parameters=sum(p.numel() for p in model.parameters()),
        batch_size=case.batch_size,
        gflop=gemms.flops / 1e9,
        step_ms=Interval.of([1e3 * seconds for seconds in steps]),
        gemm_ms=Interval.of([1e3 * seconds for seconds in products]),
        ratio=Interval.of([step / alone for step, alone in zip(steps, products, strict=True)]),
        slates_per_s=consumed,
        loader_ratio=loader.median / consumed.median,
        utilisation=_utilisation(gemms.flops / float(np.median(steps))),
    )


def _record(
    model: HiGR, batch: Examples, codes: Tensor, settings: TrainingConfig, device: torch.device
) -> Gemms:
    model, codes = model.to(device), codes.to(device)
    batch = batch.map(lambda tensor: tensor.to(device))
    with Gemms() as gemms, torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        model.losses(batch.contexts, batch.targets.items, codes)[0].backward()
    model.zero_grad(set_to_none=True)
    model.cpu()
    return gemms


def _utilisation(flops_per_s: float) -> float | None:
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    peaks = [peak for card, peak in PEAK.items() if card in name]
    return flops_per_s / peaks[0] if peaks else None


def worker(directory: Path, seed: int) -> None:
    """One training of the preset `kuairand`'s model, alone or as one of torchrun's processes."""
    torch.set_num_threads(1)
    config = load_config("kuairand").model.model_copy(update={"dropout": 0.0})
    model, codes = build(config, seed)
    parallel = "fsdp" if "WORLD_SIZE" in os.environ else "none"
    settings = TrainingConfig(
        epochs=1, batch_size=32, shards=2, target_size=SLATE, parallel=parallel, save_every_steps=0
    )
    fit(model, random_examples(32 * 8, config, seed), None, codes, settings, seed, directory=directory)


def process_losses(seed: int) -> dict[str, Any]:
    """Losses of every step by two processes with FSDP and by one, and their largest relative difference."""
    losses = []
    with tempfile.TemporaryDirectory() as directory:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        for name, launcher in (("one", [sys.executable]), ("two", torchrun)):
            command = [*launcher, "-m", "benchmarks.training", "--seed", str(seed), "--worker"]
            subprocess.run([*command, str(Path(directory) / name)], check=True, capture_output=True)
            losses.append([step["loss"] for step in read_steps(Path(directory) / name)])
    one, two = losses
    worst = max(abs(a - b) / a for a, b in zip(one, two, strict=True))
    return {"one_process": one, "two_processes_fsdp": two, "largest_relative_difference": worst}


def measure(seed: int) -> dict[str, Any]:
    loader, opened = loader_speed(256, seed)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "machine": machine(torch.get_num_threads()) | {"gpu": gpu},
        "seed": seed,
        "loader": {"rows": ROWS, "shards": SHARDS, "slates_per_s": asdict(loader), "open_s": opened},
        "steps": [asdict(step_cost(case, loader, seed)) for case in CASES],
        "processes": process_losses(seed),
    }


def markdown(document: dict[str, Any]) -> str:
    """The page of `measure`'s figures."""
    loader, processes, on = document["loader"], document["processes"], document["machine"]
    gpu = on["gpu"]
    lines = [
        f"{on['cpu']}, {on['threads']} of {on['cores']} cores, torch {on['torch']}, seed {document['seed']}, "
        f"{gpu or 'no GPU, so no utilisation'}. "
        "Median (5th to 95th percentile). Made by `make bench-training`.",
        "",
        f"Loader: {Interval(**loader['slates_per_s'])} slates/s from {loader['shards']} shards of "
        f"{loader['rows']:,} rows, opened and verified in {loader['open_s']:.1f} s.",
        "",
        "| model | parameters | batch | GFLOP | step ms | its products alone ms | step over products "
        "| slates/s | loader over model | utilisation |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *("| " + " | ".join(_cells(step)) + " |" for step in document["steps"]),
        "",
        "A run preset is a whole configuration, as of `higr config -c nano`; `model.size: nano` is another, "
        "larger model.",
        "",
        f"Two processes with FSDP give the losses of one to {processes['largest_relative_difference']:.1e} "
        f"(largest relative difference over {len(processes['one_process'])} steps).",
    ]
    return "\n".join(lines) + "\n"


def _cells(step: dict[str, Any]) -> tuple[str, ...]:
    used = step["utilisation"]
    return (
        step["name"],
        f"{step['parameters'] / 1e6:.2f}M",
        str(step["batch_size"]),
        f"{step['gflop']:.1f}",
        *(str(Interval(**step[name])) for name in ("step_ms", "gemm_ms", "ratio", "slates_per_s")),
        f"{step['loader_ratio']:,.0f}",
        "-" if used is None else f"{used:.1%}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.seed)
        return
    document = measure(arguments.seed)
    write_json(arguments.out / "training.json", document)
    (arguments.out / "training.md").write_text(markdown(document))
    table = Table("model", "step ms", "products ms", "ratio", "slates/s", "loader over model")
    for step in document["steps"]:
        cells = _cells(step)
        table.add_row(cells[0], *cells[4:9])
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
