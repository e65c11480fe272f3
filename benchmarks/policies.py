"""What each collision policy costs: the same data, tokenizer seed and training under all three.

    python -m benchmarks.policies [--config demo] [--seeds 3] [--set tokenizer.codebook_size=32 ...]

Prints means over seeds; writes benchmarks/results/policies.json and .md.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from higr import stages
from higr.bundle import Bundle
from higr.config import RunConfig, load_config, parse_overrides
from higr.decode.recommender import HiGRRecommender
from higr.evaluation.results import Evaluation
from higr.files import atomic_file, read_json, write_json
from higr.slate import UserContext

RESULTS = Path(__file__).parent / "results"
POLICIES = ("reassign", "extend", "share")
SLATES = 60
WARM_UP = 5
HISTORY = 50


def measure(config: RunConfig, seed: int, folder: Path) -> dict[str, dict[str, float]]:
    """Policy to its figures, from one set of tables and one baseline."""
    first = folder / POLICIES[0]
    rows, recommenders = {}, {}
    for policy in POLICIES:
        tokenizer = config.tokenizer.model_copy(update={"collisions": policy})
        own, run = config.model_copy(update={"tokenizer": tokenizer, "seed": seed}), folder / policy
        for name, stage in stages.STAGES.items():
            if run != first and name in ("data", "baseline"):
                (run / name).parent.mkdir(exist_ok=True)
                (run / name).symlink_to(first / name)
            else:
                stage(own, run, lambda *_: None)
        rows[policy] = _figures(run, own.evaluation.k)
        recommenders[policy] = HiGRRecommender.from_bundle(run / "bundle", "reference")
    for policy, milliseconds in _decode(recommenders, Bundle.open(first / "bundle"), seed).items():
        rows[policy]["decode_ms"] = milliseconds
    return rows


def _figures(run: Path, k: int) -> dict[str, float]:
    collisions = read_json(run / "tokens" / "quality.json")["collisions"]
    values = Evaluation.load(run / "evaluation").values["higr"]
    items = collisions["items"]
    return {
        "colliding": collisions["colliding"] / items,
        "moved": collisions["moved"] / items,
        "left_prefix": collisions["left_prefix"] / items,
        "error_ratio": collisions["error_after"] / collisions["error_before"] if collisions["moved"] else 1.0,
        "largest_extra": collisions["largest_extra"],
        "shared": collisions["shared"] / items,
        "largest_share": collisions["largest_share"],
        **{metric: value.mean for metric, value in values.items()},
        "coverage": Evaluation.load(run / "evaluation").coverage["higr"],
    }


def _decode(recommenders: dict[str, HiGRRecommender], bundle: Bundle, seed: int) -> dict[str, float]:
    """Median milliseconds a slate, the policies in turns."""
    rng, size = np.random.default_rng(seed), bundle.manifest.config["decode"]["slate_size"]
    ids = np.array(bundle.catalog.item_ids, dtype=object)
    times: dict[str, list[float]] = {policy: [] for policy in recommenders}
    for _ in range(WARM_UP + SLATES):
        history = tuple(rng.choice(ids, min(HISTORY, len(ids)), replace=False))
        context = UserContext("u", history, (2,) * len(history))
        for policy, recommender in recommenders.items():
            started = time.perf_counter()
            recommender.recommend([context], size)
            times[policy].append((time.perf_counter() - started) * 1e3)
    return {policy: float(np.median(taken[WARM_UP:])) for policy, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="demo")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", dest="settings")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    overrides = {"tokenizer.stability": False} | parse_overrides(arguments.settings)
    config = load_config(arguments.config, overrides)
    runs = []
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(measure(config, seed, Path(folder)))
    means = {
        policy: {name: float(np.mean([run[policy][name] for run in runs])) for name in runs[0][policy]}
        for policy in POLICIES
    }
    write_json(
        RESULTS / "policies.json",
        {"config": arguments.config, "overrides": overrides, "means": means, "runs": runs},
    )
    with atomic_file(RESULTS / "policies.md") as aside:
        aside.write_text(_markdown(arguments.config, overrides, arguments.seeds, means))
    table = Table("figure", *POLICIES)
    for name in means["reassign"]:
        table.add_row(name, *(f"{means[policy][name]:.4f}" for policy in POLICIES))
    Console().print(table)


def _markdown(config: str, overrides: dict[str, Any], seeds: int, means: dict[str, dict[str, Any]]) -> str:
    changed = ", ".join(f"{name} {value}" for name, value in overrides.items())
    lines = [
        f"Preset {config} with {changed}; mean of {seeds} seeds.",
        "",
        "| figure | " + " | ".join(POLICIES) + " |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | " + " | ".join(f"{means[policy][name]:.4f}" for policy in POLICIES) + " |"
            for name in means["reassign"]
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
