"""How fast slates are decoded: HiGR by every engine, OneRec-style flat decoding, transformers' T5.

    python -m benchmarks.decoding [--preset full|quick] [--run runs/demo] [--out benchmarks/results]

Both sides of every ratio answer the same users in one process of one thread, in turns, so that a machine
that slows down slows both; every slate is checked. Times are from user contexts to item ids. Beside each
time stands the least that the counted FLOPs and bytes could take on this machine, and tables say how the
time grows with the slate, the beam, the batch, the catalogue and the model. Weights are random, but for
the parity of engines, which takes the trained bundle of --run. T5 needs `pip install 'higr[text]'`.
Writes decoding.json and decoding.md. `quick` is the same with fewer slates and sizes.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.decoding_clock import Times, in_turns, limit, row, side_by_side
from benchmarks.decoding_growth import Growth
from benchmarks.decoding_page import page, tables
from benchmarks.decoding_parity import parities
from benchmarks.decoding_profile import profile
from benchmarks.decoding_systems import ENGINES, Name, Subject, System, build, engines
from benchmarks.decoding_world import Shape, random_catalog, random_users
from benchmarks.machine import machine
from benchmarks.pages import publish, terminal
from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.errors import HigrError

RESULTS = Path(__file__).parent / "results"

Say = Callable[[str], None]
Clocked = tuple[System, Times]


@dataclass(frozen=True)
class Preset:
    """Attributes:
    base, large: the models of about 25 and 100 million parameters.
    calls: slates of a row that count.
    warm_up: those before them that do not.
    batch: slates at once for throughput, by device.
    batches: of these that count.
    axes: sizes of the tables of growth; those of `params` are models.
    growth_calls: slates of a cell of theirs.
    constraints: catalogues whose constraint cost is measured.
    parity: test slates at most.
    """

    shape: Shape
    base: ModelConfig
    large: ModelConfig
    calls: int
    warm_up: int
    batch: dict[str, int]
    batches: int
    axes: dict[str, Sequence[Any]]
    growth_calls: int
    constraints: tuple[int, ...]
    parity: int


def sized(size: str) -> ModelConfig:
    return ModelConfig(size=size, history_length=Shape().history)


PRESETS = {
    "full": Preset(
        Shape(),
        sized("base"),
        sized("large"),
        calls=50,
        warm_up=3,
        batch={"cpu": 64, "cuda": 1024},
        batches=6,
        axes={
            "slate": (1, 5, 10, 20, 40),
            "beam": (1, 4, 10, 32, 64, 128),
            "batch": (1, 4, 16, 64, 256, 1024),
            "items": (10_000, 100_000, 1_000_000, 10_000_000),
            "params": tuple(sized(size) for size in ("nano", "small", "base", "large")),
        },
        growth_calls=5,
        constraints=(100_000, 10_000_000),
        parity=2_000,
    ),
    "quick": Preset(
        Shape(),
        sized("base"),
        sized("large"),
        calls=8,
        warm_up=1,
        batch={"cpu": 64, "cuda": 1024},
        batches=2,
        axes={
            "slate": (1, 10, 20),
            "beam": (1, 10, 32),
            "batch": (1, 16, 64),
            "items": (10_000, 100_000, 1_000_000),
            "params": tuple(sized(size) for size in ("nano", "small", "base")),
        },
        growth_calls=3,
        constraints=(100_000, 1_000_000),
        parity=300,
    ),
}


def measure(preset: Preset, seed: int, run: Path | None, say: Say = lambda _: None) -> dict[str, Any]:
    """The document but for what names the command.

    Raises:
        HigrError: transformers is not installed, or `run` holds no bundle and data.
    """
    shape = preset.shape
    torch.set_num_threads(1)
    catalog = random_catalog(shape, seed)
    clocked: list[Clocked] = []
    for device in ("cpu", "cuda"):
        if not engines(device):
            continue
        say(f"one slate at a time, {device}")
        clocked += _alone(_subjects(preset.base, device), preset, catalog, seed)
        say(f"one slate at a time, {device}, large")
        clocked += _alone(_large_subjects(preset.large, device), preset, catalog, seed)
        say(f"{preset.batch[device]} slates at once, {device}")
        subjects = _throughput_subjects(preset.base, device)
        clocked += _together(subjects, preset, preset.batch[device], catalog, seed)
    say("two processes")
    fastest = engines("cpu")[-1]
    subject = Subject("higr_kv", fastest, preset.base)
    (system,) = _built([subject], preset, catalog, seed)
    clocked.append((system, side_by_side(subject, shape, preset.batch["cpu"], preset.batches, seed)))
    rows = [row(system, times) for system, times in clocked]
    available = [*engines("cpu"), *engines("cuda")]
    by_engine = {engine: ratios(clocked, preset, engine) for engine in available}
    growth = Growth(preset.base, shape, catalog, fastest, seed, preset.growth_calls)
    say("profile")
    profiles = [
        profile(config, shape, catalog, preset.calls, seed)
        for config in (preset.base, preset.large)
        if "cpu" in engines("cpu")
    ]
    say("growth")
    grown = growth.tables(preset.axes)
    say("constraints")
    constraints = [
        replace(growth.of_items(items), calls=preset.calls).constraint_cost() for items in preset.constraints
    ]
    say("parity")
    return {
        "machine": {**machine(threads=1), "transformers": _transformers(), "gpu": _gpu()},
        "rows": rows,
        "ratios": by_engine[fastest],
        "parity": parities(run, available, preset.parity, seed) if run is not None else {},
        "ratios_by_engine": by_engine,
        "limits": [limit(system, times.batch) for system, times in clocked],
        "profile": profiles,
        "growth": grown,
        "constraints": constraints,
        "shape": asdict(shape),
        "calls": preset.calls,
        "warm_up": preset.warm_up,
        "seed": seed,
    }


def _subjects(config: ModelConfig, device: str) -> list[Subject]:
    """All that take part in a ratio; T5 and decoding without caches by the reference engine alone."""
    names: tuple[Name, ...] = ("higr_kv", "onerec_kv", "onerec_greedy_kv")
    subjects = [Subject(name, engine, config) for engine in engines(device) for name in names]
    if device == "cpu":
        alone: tuple[Name, ...] = ("higr_nokv", "onerec_nokv", "hf_t5_flat", "hf_t5_flat_greedy")
        subjects += [Subject(name, "reference", config) for name in alone]
    return subjects


def _large_subjects(config: ModelConfig, device: str) -> list[Subject]:
    names: tuple[Name, ...] = ("higr_kv", "onerec_kv")
    return [Subject(name, engine, config) for engine in engines(device) for name in names]


def _throughput_subjects(config: ModelConfig, device: str) -> list[Subject]:
    """HiGR by every engine, flat decoding by the fastest."""
    found = engines(device)
    return [
        *(Subject("higr_kv", engine, config) for engine in found),
        Subject("onerec_kv", found[-1], config),
    ]


def _built(subjects: Sequence[Subject], preset: Preset, catalog: Catalog, seed: int) -> list[System]:
    return [build(subject, preset.shape, catalog, seed) for subject in subjects]


def _alone(subjects: Sequence[Subject], preset: Preset, catalog: Catalog, seed: int) -> list[Clocked]:
    systems = _built(subjects, preset, catalog, seed)
    users = random_users(preset.shape, catalog, preset.calls + preset.warm_up, seed + 1)
    times = in_turns(systems, preset.shape, catalog, users, warm_up=preset.warm_up)
    return list(zip(systems, times, strict=True))


def _together(
    subjects: Sequence[Subject], preset: Preset, batch: int, catalog: Catalog, seed: int
) -> list[Clocked]:
    systems = _built(subjects, preset, catalog, seed)
    users = random_users(preset.shape, catalog, batch * (preset.batches + 1), seed + 1)
    return list(zip(systems, in_turns(systems, preset.shape, catalog, users, batch), strict=True))


def ratios(clocked: Sequence[Clocked], preset: Preset, engine: str) -> dict[str, float | None]:
    """p50 over p50 of one slate by one engine; None where the engine's device has no such row."""
    p50 = {(s.subject.system, s.subject.engine, s.subject.config): t.p50 for s, t in clocked if t.batch == 1}

    def ratio(over: Name, under: Name, by: str, under_by: str, config: ModelConfig) -> float | None:
        left, right = p50.get((over, by, config)), p50.get((under, under_by, config))
        return None if left is None or right is None else left / right

    base, large = preset.base, preset.large
    on_cpu = "reference" if ENGINES[engine].device == "cpu" else engine
    return {
        "hf_t5_flat_over_higr_cpu": ratio("hf_t5_flat", "higr_kv", on_cpu, engine, base),
        "onerec_kv_over_higr_kv": ratio("onerec_kv", "higr_kv", engine, engine, base),
        "onerec_kv_over_higr_kv_100m": ratio("onerec_kv", "higr_kv", engine, engine, large),
        "onerec_nokv_over_higr_nokv": ratio("onerec_nokv", "higr_nokv", on_cpu, on_cpu, base),
    }


def _gpu() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _transformers() -> str:
    import transformers

    return str(transformers.__version__)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--run", type=Path, help="run with a trained bundle and its data, for parity")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    console = Console(width=170)
    try:
        document = measure(
            PRESETS[arguments.preset], arguments.seed, arguments.run, Console(stderr=True).print
        )
    except HigrError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    document["preset"] = arguments.preset
    document["command"] = _command(arguments.preset)
    arguments.out.mkdir(parents=True, exist_ok=True)
    publish(document, page(document), arguments.out / "decoding")
    console.print(*terminal(tables(document)))
    return 0


def _command(preset: str) -> str:
    return "make bench-decoding" + ("" if preset == "full" else f" PRESET={preset}")


if __name__ == "__main__":
    sys.exit(main())
