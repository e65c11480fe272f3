"""SASRec and TIGER-style against what is published for them, on Amazon Beauty 2014, leave-last-out.

    python -m benchmarks.published --data ../shared/data/amazon [--models sasrec_binary sasrec tiger]

sasrec_binary is SASRec as published, one drawn negative an item; sasrec is ours, softmax over the
catalogue; tiger has semantic IDs made from titles alone by TF-IDF, where the paper has a sentence model
and brand, category and price too, so it is expected to fall short. Early stopping and the choice of
dropout look at the second last purchase alone. recall@10 and NDCG@10 over all items that the user has
not bought before. Prints a table; writes benchmarks/results/published.json and .md.
"""

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.beauty import Purchases, every_item, last_items, load, measure, ndcg, numbered, tokenized
from benchmarks.machine import machine
from benchmarks.tokenizer_runs import interval
from higr.catalog import Catalog
from higr.config import ModelConfig, TrainingConfig
from higr.files import atomic_file, read_json, write_json
from higr.model.inputs import PADDING, ContextBatch, ProfileVocabulary, encode_contexts
from higr.peers.recommenders import SASRecRecommender, TigerRecommender
from higr.peers.sasrec import SASRec
from higr.peers.tiger import Tiger
from higr.slate import Recommender
from higr.training.batches import InMemory
from higr.training.examples import Examples
from higr.training.loop import train
from higr.training.targets import Targets

RESULTS = Path(__file__).parent / "results"
METRICS = ("recall@10", "ndcg@10")
SOURCE = "arXiv 2305.05065, table 1"
SASREC = {"recall@10": 0.0605, "ndcg@10": 0.0318}
PUBLISHED = {
    "sasrec_binary": SASREC,
    "sasrec": SASREC,
    "tiger": {"recall@10": 0.0648, "ndcg@10": 0.0384},
}
TOLERANCE = 0.1
VALIDATED = 4_000
"""Users whose second last purchase decides when to stop."""

SIZES = {
    "sasrec": ModelConfig(
        width=64, heads=2, encoder_layers=2, feedforward=256, history_length=20, history="engaged"
    ),
    "tiger": ModelConfig(
        width=128,
        heads=4,
        encoder_layers=4,
        planner_layers=3,
        generator_layers=1,
        feedforward=344,
        history_length=20,
        history="engaged",
        history_tokens="code",
    ),
}
"""20 purchases of history, as TIGER's; SASRec's 64 units, 2 heads and 2 blocks are those of arXiv
2008.07873, from where TIGER's table takes its figures."""

DROPOUTS = (0.2, 0.5)
EPOCHS = {"sasrec_binary": 200, "sasrec": 40, "tiger": 40}
"""At most; the learning rate falls to 0 over them."""

BEAM, BATCH = 20, 256


class BinarySASRec(SASRec):
    """As published: each next item against one item drawn from all, by binary cross-entropy."""

    def losses(
        self, contexts: ContextBatch, items: Tensor, codes: Tensor, smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """As `SASRec.losses`, which it is in evaluation; smoothing has no meaning in training."""
        if not self.training:
            return super().losses(contexts, items, codes, smoothing)
        history = self.engaged(contexts)
        following = torch.cat([history[:, 1:], items[:, :1]], dim=1)  # (B, H)
        known = (history != self.catalog_size) & (items[:, :1] != PADDING)
        hidden, after = self(history)[known], following[known]
        drawn = torch.randint(self.catalog_size, after.shape, device=after.device)
        good, bad = ((hidden * self.item_embedding(chosen)).sum(dim=-1) for chosen in (after, drawn))
        return -(F.logsigmoid(good) + F.logsigmoid(-bad)).sum(), known.sum()


class Objective(nn.Module):
    """Losses in training; in evaluation 1 - NDCG@10, so that the loop keeps the weights that rank best.

    Args:
        judge: a model on the CPU, where slates are decoded, and rows of the validation examples to
            their NDCG@10.
    """

    codes: Tensor

    def __init__(
        self, model: SASRec | Tiger, codes: Tensor, judge: Callable[[nn.Module, Tensor], np.ndarray]
    ) -> None:
        super().__init__()
        self.model, self.judge = model, judge
        self.register_buffer("codes", codes, persistent=False)

    def forward(self, batch: Examples) -> tuple[Tensor, Tensor]:
        if self.training:
            return self.model.losses(batch.contexts, batch.targets.items, self.codes)
        rows = batch.targets.rows
        shown = rows[rows >= 0].cpu()  # the rest fills up the last batch
        gains = self.judge(copy.deepcopy(self.model).cpu(), shown)
        return rows.new_tensor((1 - gains).sum(), dtype=torch.float64), rows.new_tensor(len(gains))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dropouts", nargs="+", type=float, default=DROPOUTS)
    parser.add_argument("--epochs", type=int, help="at most, for all models; the default is each one's own")
    parser.add_argument("--patience", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console, data = Console(), load(arguments.data)
    for name in arguments.models:
        console.log(f"{name}: {'semantic IDs from titles' if name == 'tiger' else 'any codes'}")
        catalog = tokenized(data) if name == "tiger" else numbered(data)
        epochs = arguments.epochs or EPOCHS[name]

        def run(
            dropout: float, seed: int, name: str = name, catalog: Catalog = catalog, epochs: int = epochs
        ) -> dict[str, Any]:
            return _run(name, data, catalog, dropout, seed, epochs, arguments.patience, console)

        best = max((run(dropout, 0) for dropout in arguments.dropouts), key=lambda found: found["validation"])
        others = [run(best["dropout"], seed) for seed in range(1, arguments.seeds)]
        row = _row(name, [best, *others], tried=arguments.dropouts, epochs=epochs)
        document = _write(row, data)
    table = Table(*HEADER)
    for row in document["rows"]:
        table.add_row(*cells(row))
    console.print(table)


def _write(row: dict[str, Any], data: Purchases) -> dict[str, Any]:
    """Put the row of one model in the place of its last one; those of other models stay as they are."""
    path = RESULTS / "published.json"
    rows = {old["model"]: old for old in read_json(path)["rows"]} if path.exists() else {}
    rows[row["model"]] = row
    document = {
        "data": {"name": "Amazon Beauty 2014", "users": len(data.sequences), "items": len(data.titles)},
        "protocol": "leave last out, all items but those bought before, no sampled negatives",
        "source": SOURCE,
        "tolerance": TOLERANCE,
        "rows": [rows[name] for name in PUBLISHED if name in rows],
    }
    write_json(path, document)
    with atomic_file(RESULTS / "published.md") as aside:
        aside.write_text(markdown(document))
    return document


def _run(
    name: str,
    data: Purchases,
    catalog: Catalog,
    dropout: float,
    seed: int,
    epochs: int,
    patience: int,
    console: Console,
) -> dict[str, Any]:
    """One training, stopped by validation, measured on the test."""
    started = time.perf_counter()
    torch.manual_seed(seed)
    if name == "tiger":
        config = SIZES["tiger"].model_copy(update={"dropout": dropout})
        empty = ProfileVocabulary({})
        model: SASRec | Tiger = Tiger(config, catalog.depth, catalog.codebook_size, empty, "")
        contexts, items = every_item(data, catalog, config)
    else:
        config = SIZES["sasrec"].model_copy(update={"dropout": dropout})
        model = (BinarySASRec if name == "sasrec_binary" else SASRec)(config, len(catalog))
        contexts, items = last_items(data, catalog, config)
    drawn = np.random.default_rng(0).permutation(len(data.sequences))[:VALIDATED].tolist()
    users, wanted = data.before(drawn, 2)
    places = torch.tensor([[catalog.position[item]] for item in wanted])
    validation = encode_contexts(users, catalog, ProfileVocabulary({}), config)

    def judge(candidate: nn.Module, rows: Tensor) -> np.ndarray:
        chosen = rows.tolist()
        return ndcg(
            _recommender(candidate, catalog), [users[row] for row in chosen], [wanted[row] for row in chosen]
        )

    steps = -(-len(items) // BATCH)

    def progress(label: str, done: int, total: int) -> None:
        if done % steps == 0:
            spent = time.perf_counter() - started
            console.log(f"{label} dropout {dropout} seed {seed}: epoch {done // steps}, {spent:.0f} s")

    curve = train(
        Objective(model, catalog.code_tensor, judge),
        _in_memory(contexts, items),
        _in_memory(validation, places),
        TrainingConfig(
            epochs=epochs,
            batch_size=BATCH,
            learning_rate=1e-3,
            weight_decay=0.0,
            warmup_share=0.02,
            clip_norm=5.0,
            patience=patience,
        ),
        seed=seed,
        label=name,
        progress=progress,
    )
    seconds = time.perf_counter() - started
    test = measure(_recommender(model, catalog), *data.before(range(len(data.sequences)), 1))
    console.log(f"{name} dropout {dropout} seed {seed}: test {_short(test)}")
    return {
        "seed": seed,
        "dropout": dropout,
        "parameters": sum(p.numel() for p in model.parameters()),
        "epochs": curve[-1]["epoch"],
        "best_epoch": max(record["epoch"] for record in curve if record["best"]),
        "validation": 1 - min(record["validation_loss"] for record in curve),
        "seconds": seconds,
        **test,
    }


def _recommender(model: nn.Module, catalog: Catalog) -> Recommender:
    if isinstance(model, Tiger):
        return TigerRecommender(model, catalog, BEAM)
    assert isinstance(model, SASRec)
    return SASRecRecommender(model, catalog)


def _in_memory(contexts: ContextBatch, items: Tensor) -> InMemory:
    return InMemory(Examples(contexts, Targets(torch.arange(len(items)), items)), shards=1)


def _short(found: dict[str, float]) -> str:
    return ", ".join(f"{metric} {value:.4f}" for metric, value in found.items())


def _row(name: str, runs: Sequence[dict[str, Any]], tried: Sequence[float], epochs: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": name,
        "made": datetime.now(UTC).date().isoformat(),
        "machine": machine(threads=1),
        "dropouts_tried": list(tried),
        "epochs": epochs,
        "dropout": runs[0]["dropout"],
        "parameters": runs[0]["parameters"],
        "runs": runs,
    }
    for metric in METRICS:
        row[metric] = interval([run[metric] for run in runs])
        row[f"published {metric}"] = PUBLISHED[name][metric]
        row[f"ratio {metric}"] = row[metric]["mean"] / PUBLISHED[name][metric]
    return row


HEADER = ("model", "parameters", "recall@10", "published", "ratio", "NDCG@10", "published", "ratio")


def cells(row: dict[str, Any]) -> list[str]:
    out = [row["model"], f"{row['parameters']:,}"]
    for metric in METRICS:
        half = (row[metric]["high"] - row[metric]["low"]) / 2
        out.append(f"{row[metric]['mean']:.4f}" + (f" ±{half:.4f}" if len(row["runs"]) > 1 else ""))
        out += [f"{row[f'published {metric}']:.4f}", f"{row[f'ratio {metric}']:.2f}"]
    return out


def markdown(document: dict[str, Any]) -> str:
    data = document["data"]
    lines = [
        f"{data['name']}: {data['users']:,} users, {data['items']:,} items; {document['protocol']}. "
        f"Published: {document['source']}. Made by `python -m benchmarks.published`; seconds are of one "
        "thread. Epochs: of the best validation / run / allowed.",
        "",
        "| " + " | ".join(HEADER) + " | dropout (tried) | seeds | epochs | seconds | made on |",
        "|---|" + "---:|" * (len(HEADER) + 4),
    ]
    for row in document["rows"]:
        runs = row["runs"]
        epochs = " ".join(f"{run['best_epoch']}/{run['epochs']}/{row['epochs']}" for run in runs)
        seconds = sum(run["seconds"] for run in runs) / len(runs)
        dropout = f"{row['dropout']} ({', '.join(map(str, row['dropouts_tried']))})"
        on = f"{row['made']}, {row['machine']['cpu']}, torch {row['machine']['torch']}"
        rest = [dropout, str(len(runs)), epochs, f"{seconds:.0f}", on]
        lines.append("| " + " | ".join(cells(row) + rest) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
