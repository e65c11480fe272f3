"""Are items that nobody has seen yet recommended to those they suit, without training?

    python -m benchmarks.cold_items [--config demo] [--seeds 3]

A tenth of the simulator's items is taken out of its log before anything is trained. The model is
trained on the rest, then `higr catalog update` puts the tenth into the bundle. The simulator knows how
each item appeals to each user; an item is among a user's best matches if no more than 19 items the user
has not seen appeal more. Cold best matches in slates of 10 are set beside warm ones and beside chance.
Prints a table; writes benchmarks/results/cold_items.json and .md.
"""

import argparse
import tempfile
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


def measure(config: RunConfig, seed: int, folder: Path) -> dict[str, float]:
    """Shares of best matches that are shown, cold and warm, and what the update said of the cold ones."""
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
    names = world.items.table["item_id"].to_pylist()
    place = {name: i for i, name in enumerate(names)}
    people = world.users.table["user_id"].to_pylist()
    contexts = [index.context(user) for user in people]
    recommender, slates = HiGRRecommender.from_bundle(bundle), []
    for low in range(0, len(contexts), BATCH):
        part = contexts[low : low + BATCH]
        slates += recommender.recommend(part, SLATE, [frozenset(context.item_ids) for context in part])
    shown, seen = (np.zeros((len(people), count), dtype=bool) for _ in range(2))
    for row, (slate, context) in enumerate(zip(slates, contexts, strict=True)):
        shown[row, [place[item] for item in slate.item_ids]] = True
        seen[row, [place[item] for item in context.item_ids]] = True
    appeal = np.where(seen, -np.inf, appeal_of(world))
    order = np.argsort(-appeal, axis=1)
    best = np.zeros_like(seen)
    np.put_along_axis(best, order[:, :BEST], True, axis=1)
    top = np.zeros_like(seen)
    np.put_along_axis(top, order[:, :1], True, axis=1)
    figures = report.figures()
    return {
        "users": len(people),
        "items": count,
        "cold_share_of_catalogue": float(cold.mean()),
        "cold_share_of_slates": float(shown[:, cold].sum() / shown.sum()),
        "cold_best_shown": float(shown[best & cold].mean()),
        "warm_best_shown": float(shown[best & ~cold].mean()),
        "cold_first_shown": float(shown[top & cold].mean()),
        "warm_first_shown": float(shown[top & ~cold].mean()),
        "chance": float(shown.sum() / (~seen).sum()),
        "moved": float(figures["moved"]),
        "share_beyond_reference_p99": float(figures["share_beyond_reference_p99"]),
    }


ROWS = {
    "cold_best_shown": f"cold items among a user's {BEST} best matches that are shown",
    "warm_best_shown": f"warm items among a user's {BEST} best matches that are shown",
    "cold_first_shown": "the best match of all is cold: it is shown",
    "warm_first_shown": "the best match of all is warm: it is shown",
    "chance": "any item the user has not seen is shown",
    "cold_share_of_slates": "share of cold items in slates",
    "cold_share_of_catalogue": "share of cold items in the catalogue",
    "share_beyond_reference_p99": "cold items beyond the reference's 99th percentile of errors",
}


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
    table = Table("figure", *(f"seed {seed}" for seed in range(len(runs))))
    for name, text in ROWS.items():
        table.add_row(text, *(f"{run[name]:.4f}" for run in runs))
    Console().print(table)


def _markdown(document: dict[str, Any]) -> str:
    runs = document["runs"]
    lines = [
        f"Preset {document['config']}: {runs[0]['items']} items, {runs[0]['users']} users, {SLATE} a slate.",
        "",
        "| figure | " + " | ".join(f"seed {seed}" for seed in range(len(runs))) + " |",
        "|---|" + "---:|" * len(runs),
        *(
            f"| {text} | " + " | ".join(f"{run[name]:.4f}" for run in runs) + " |"
            for name, text in ROWS.items()
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
