"""Are items that nobody has seen yet recommended to those they suit, without training?

    python -m benchmarks.cold_items [--config demo] [--seeds 3]

A tenth of the simulator's items is taken out of its log before anything is trained. The model is
trained on the rest, then `higr catalog update` puts the tenth into the bundle. The simulator knows how
each item appeals to each user; an item is among a user's best matches if no more than 19 items the user
has not seen appeal more. New (cold) best matches in slates of 10 are set beside old (warm) ones and
beside chance, decoded by one model without stand-ins for the new items (`higr.stand_ins`) and with them,
under several values of `decode.cold_discount`.
Prints a table; writes benchmarks/results/cold_items.json and .md.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.table import Table

from higr import stages
from higr.bundle import Bundle
from higr.catalog_update import Changes, update_bundle
from higr.config import RunConfig, load_config
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.data.simulator import World
from higr.decode.recommender import HiGRRecommender
from higr.files import atomic_file, write_json
from higr.slate import Slate

RESULTS = Path(__file__).parent / "results"
COLD_SHARE = 0.1
BEST = 20
SLATE = 10
BATCH = 64


def train_without(world: World, cold: np.ndarray, config: RunConfig, folder: Path) -> RunConfig:
    """A whole run on the log without its cold items, whose rows go to cold.parquet."""
    raw = world.generate()
    names = raw.items["item_id"].take(pa.array(np.flatnonzero(cold)))
    tables = folder / "tables"
    tables.mkdir()
    for name, table in (("events", raw.events), ("items", raw.items)):
        known = pc.invert(pc.is_in(table["item_id"], value_set=names))
        pq.write_table(table.filter(known), tables / f"{name}.parquet")
    pq.write_table(raw.users, tables / "users.parquet")
    pq.write_table(raw.items.filter(pa.array(cold)), folder / "cold.parquet")
    data = config.data.model_copy(update={"source": "tables", "path": str(tables)})
    config = config.model_copy(update={"data": data})
    for stage in stages.STAGES.values():
        stage(config, folder / "run", lambda *_: None)
    return config


def appeal_of(world: World) -> np.ndarray:
    """(U, N): how each item appeals to each rested user."""
    users = np.arange(len(world.users.vector))
    columns = [
        world.interest(users, np.full((len(users), 1), item), np.zeros((len(users), 1)))[:, 0]
        for item in range(len(world.items.topic))
    ]
    return np.stack(columns, axis=1)


def measure(config: RunConfig, seed: int, folder: Path) -> dict[str, Any]:
    """One trained model, its catalogue updated: how often best matches are shown, with and without
    stand-ins for the new items."""
    config = config.model_copy(update={"seed": seed})
    world = World(config.data.simulator, seed)
    count = len(world.items.topic)
    cold = np.zeros(count, dtype=bool)
    cold[np.random.default_rng(seed).choice(count, int(COLD_SHARE * count), replace=False)] = True
    config = train_without(world, cold, config, folder)
    report = update_bundle(
        folder / "run" / "bundle", folder / "updated", Changes(folder / "cold.parquet"), lambda *_: None
    )
    bundle = Bundle.open(folder / "updated")
    data = PreparedData.load(folder / "run" / "data")
    index = HistoryIndex.build(data.events, data.users, config.data)
    place = {name: i for i, name in enumerate(world.items.table["item_id"].to_pylist())}
    contexts = [index.context(user) for user in world.users.table["user_id"].to_pylist()]
    seen = marked([context.item_ids for context in contexts], place)
    appeal = appeal_of(world)
    figures = report.figures()
    run: dict[str, Any] = {
        "users": len(contexts),
        "items": count,
        "moved": float(figures["moved"]),
        "share_beyond_reference_p99": float(figures["share_beyond_reference_p99"]),
    }
    for side, discount in SIDES.items():
        stand_ins = None if discount is None else bundle.catalog.stand_ins
        recommender = HiGRRecommender(
            bundle.model,
            replace(bundle.catalog, stand_ins=stand_ins),
            config.decode.beam_width,
            bundle.disabled,
            cold_discount=discount or 0.0,
        )
        slates: list[Slate] = []
        for low in range(0, len(contexts), BATCH):
            part = contexts[low : low + BATCH]
            slates += recommender.recommend(part, SLATE, [frozenset(context.item_ids) for context in part])
        run[side] = shares(marked([slate.item_ids for slate in slates], place), seen, appeal, cold)
    return run


def marked(rows: Sequence[Sequence[str]], place: dict[str, int]) -> np.ndarray:
    """(U, N) bool: which items each row names."""
    out = np.zeros((len(rows), len(place)), dtype=bool)
    for marks, row in zip(out, rows, strict=True):
        marks[[place[item] for item in row]] = True
    return out


def shares(
    shown: np.ndarray, seen: np.ndarray, appeal: np.ndarray, cold: np.ndarray, best: int = BEST
) -> dict[str, float]:
    """How often a user's best unseen matches are shown, cold and warm, and how the slates appeal.

    Args:
        shown, seen: (U, N) bool.
        appeal: (U, N).
        cold: (N,) bool.
    """
    rank = np.where(seen, -np.inf, appeal).argsort(axis=1)[:, ::-1].argsort(axis=1)  # 0: the best match
    among, first = (rank < best) & ~seen, (rank == 0) & ~seen
    return {
        "cold_best_shown": float(shown[among & cold].mean()),
        "warm_best_shown": float(shown[among & ~cold].mean()),
        "best_shown": float(shown[among].mean()),
        "cold_first_shown": float(shown[first & cold].mean()),
        "warm_first_shown": float(shown[first & ~cold].mean()),
        "chance": float(shown.sum() / (~seen).sum()),
        "cold_share_of_slates": float(shown[:, cold].sum() / shown.sum()),
        "cold_share_of_unseen": float((~seen)[:, cold].sum() / (~seen).sum()),
        "appeal": float(appeal[shown].mean()),
        "appeal_of_cold": float(appeal[shown & cold].mean()) if shown[:, cold].any() else 0.0,
    }


ROWS = {
    "cold_best_shown": f"new items among a user's {BEST} best matches that are shown",
    "warm_best_shown": f"old items among a user's {BEST} best matches that are shown",
    "best_shown": f"all items among a user's {BEST} best matches that are shown",
    "cold_first_shown": "the best match of all is new: it is shown",
    "warm_first_shown": "the best match of all is old: it is shown",
    "chance": "any item the user has not seen is shown",
    "cold_share_of_slates": "share of new items in slates",
    "cold_share_of_unseen": "share of new items in what the user has not seen",
    "appeal": "mean appeal of the items shown",
    "appeal_of_cold": "mean appeal of the new ones among them, 0 for none",
}
SIDES = {"none": None, "0": 0.0, "0.5": 0.5, "1": 1.0}
"""Without stand-ins, and with them under a `decode.cold_discount`."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="demo")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(arguments.config, {"tokenizer.stability": False})
    runs = []
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(measure(config, seed, Path(folder)))
    document = {"config": arguments.config, "slate_size": SLATE, "runs": runs}
    write_json(RESULTS / "cold_items.json", document)
    with atomic_file(RESULTS / "cold_items.md") as aside:
        aside.write_text(_markdown(document))
    table = Table("figure", *_heads(runs))
    for text, cells in _rows(runs):
        table.add_row(text, *cells)
    Console(width=180).print(table)


def _heads(runs: list[dict[str, Any]]) -> list[str]:
    return [f"seed {seed}: {side}" for seed in range(len(runs)) for side in SIDES]


def _rows(runs: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    return [
        (text, [f"{run[side][name]:.4f}" for run in runs for side in SIDES]) for name, text in ROWS.items()
    ]


def _markdown(document: dict[str, Any]) -> str:
    runs = document["runs"]
    beyond = ", ".join(f"{run['share_beyond_reference_p99']:.4f}" for run in runs)
    lines = [
        f"Preset {document['config']}: {runs[0]['items']} items, {runs[0]['users']} users, {SLATE} a slate. "
        f"New items beyond the reference's 99th percentile of errors: {beyond}. Columns: decoded without "
        "stand-ins (none), and with them under each `decode.cold_discount`.",
        "",
        "| figure | " + " | ".join(_heads(runs)) + " |",
        "|---|" + "---:|" * len(_heads(runs)),
        *(f"| {text} | " + " | ".join(cells) + " |" for text, cells in _rows(runs)),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
