"""Leave-last-out by hand, and the benchmark from end to end on a small copy of its data.

Run: pytest tests/benchmarks/test_published.py
"""

import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional as F

from benchmarks import published
from benchmarks.beauty import every_item, last_items, load, measure
from benchmarks.published import BinarySASRec, Objective, cells, markdown
from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.model.inputs import PADDING, ContextBatch
from higr.slate import Slate, UserContext
from higr.training.examples import Examples
from higr.training.targets import Targets

CONFIG = ModelConfig(width=8, heads=2, feedforward=8, history_length=3, dropout=0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """User 0 bought 1 2 3 4 5 (by time, not by row), user 1 bought 6 7 8 9 10 11."""
    events = {
        "user_id": [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1],
        "item_id": [5, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11],
        "timestamp": [9, 1, 1, 2, 3, 1, 2, 3, 4, 5, 6],
    }
    items = {"item_id": list(range(1, 13)), "title": [f"title {i}" for i in range(1, 13)]}
    pq.write_table(pa.table(events), tmp_path / "amazon2014-beauty.inter.parquet")
    pq.write_table(pa.table(items), tmp_path / "amazon2014-beauty.items.parquet")
    return tmp_path


def names(batch: ContextBatch, catalog: Catalog) -> list[list[str]]:
    return [[catalog.item_ids[i] for i in row if i != PADDING] for row in batch.items.tolist()]


def test_the_last_two_purchases_are_no_training_example(folder: Path) -> None:
    data = load(folder)
    assert data.sequences == [("1", "2", "3", "4", "5"), ("6", "7", "8", "9", "10", "11")]
    catalog = Catalog.build(sorted(data.titles), np.stack(np.divmod(np.arange(12), 4), axis=1), 4)
    contexts, targets = last_items(data, catalog, CONFIG)
    assert names(contexts, catalog) == [["1", "2"], ["6", "7", "8"]]
    assert [catalog.item_ids[i] for i in targets[:, 0]] == ["3", "9"]
    contexts, targets = every_item(data, catalog, CONFIG)
    assert names(contexts, catalog) == [["1"], ["1", "2"], ["6"], ["6", "7"], ["6", "7", "8"]]
    assert [catalog.item_ids[i] for i in targets[:, 0]] == ["2", "3", "7", "8", "9"]
    users, held_out = data.before([1, 0], 2)
    assert [user.item_ids for user in users] == [("6", "7", "8", "9"), ("1", "2", "3")]
    assert held_out == ["10", "4"]


class Fixed:
    """The same order for all, but for what is excluded."""

    def recommend(
        self,
        contexts: Sequence[UserContext],
        slate_size: int,
        exclude: Sequence[Collection[str]] | None = None,
    ) -> list[Slate]:
        order = [str(i) for i in range(30)]
        left = [[i for i in order if i not in excluded][:slate_size] for excluded in exclude or []]
        return [Slate(tuple(items), (0.0,) * len(items)) for items in left]


def test_recall_and_ndcg_by_hand() -> None:
    """Ranks 0, 2 (3 before it of which one was bought) and 10."""
    users = [UserContext("a"), UserContext("b", ("1",), (2,)), UserContext("c")]
    found = measure(Fixed(), users, ["0", "3", "10"])
    assert found == pytest.approx({"recall@10": 2 / 3, "ndcg@10": (1 + 1 / np.log2(4)) / 3})


def test_the_published_loss_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = BinarySASRec(CONFIG, 6)
    items = torch.tensor([[PADDING, 2, 4]], dtype=torch.int32)
    contexts = ContextBatch(
        items, torch.full((1, 3), 2, dtype=torch.int8), torch.zeros((1, 0), dtype=torch.int32)
    )
    drawn_on = []

    def randint(high: int, shape: torch.Size, device: torch.device) -> torch.Tensor:
        drawn_on.append(device)
        return torch.tensor([5, 0])

    monkeypatch.setattr(torch, "randint", randint)
    total, count = model.train().losses(contexts, torch.tensor([[1]]), torch.zeros((6, 2)))
    scores = model.scores(model(torch.tensor([[6, 2, 4]])))[0]  # (3, 6)
    expected = -F.logsigmoid(torch.stack([scores[1, 4], -scores[1, 5], scores[2, 1], -scores[2, 0]])).sum()
    torch.testing.assert_close(total, expected)
    assert count == 2
    assert drawn_on == [total.device]
    total, _ = model.eval().losses(contexts, torch.tensor([[1]]), torch.zeros((6, 2)))
    torch.testing.assert_close(total, -scores[2].log_softmax(-1)[1])


def test_codes_go_where_the_model_goes_and_are_judged_on_the_cpu() -> None:
    """`meta` stands for a GPU; on a machine that has one the test from data to table runs on it."""
    judged: list[torch.nn.Module] = []

    def judge(model: torch.nn.Module, rows: torch.Tensor) -> np.ndarray:
        judged.append(model)
        return np.array([0.25] * len(rows))

    objective = Objective(BinarySASRec(CONFIG, 6), torch.zeros((6, 2), dtype=torch.int64), judge)
    assert not [name for name in objective.state_dict() if "codes" in name]
    contexts = ContextBatch(*(torch.zeros((3, size), dtype=torch.int32) for size in (3, 3, 0)))
    targets = Targets(torch.tensor([0, 1, -1]), torch.zeros((3, 1), dtype=torch.int64))
    total, count = objective.eval()(Examples(contexts, targets))
    assert (total, count) == (1.5, 2)
    assert judged[0] is not objective.model
    assert {parameter.device.type for parameter in judged[0].parameters()} == {"cpu"}
    assert objective.to("meta").codes.device.type == "meta"


def test_from_data_to_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    users, items = 40, 300
    bought = np.concatenate([rng.choice(items, 6, replace=False) + 1 for _ in range(users)])
    events = {
        "user_id": np.repeat(np.arange(users), 6),
        "item_id": bought,
        "timestamp": np.tile(np.arange(6), users),
    }
    titles = [f"{('lip', 'nail', 'hair', 'skin')[i % 4]} care {i}" for i in range(items)]
    pq.write_table(pa.table(events), tmp_path / "amazon2014-beauty.inter.parquet")
    table = pa.table({"item_id": np.arange(items) + 1, "title": titles})
    pq.write_table(table, tmp_path / "amazon2014-beauty.items.parquet")
    monkeypatch.setattr(published, "RESULTS", tmp_path)
    command = ["published", "--data", str(tmp_path), "--seeds", "2", "--dropouts", "0.1", "--epochs", "1"]
    for models in (["tiger", "sasrec"], ["sasrec_binary", "sasrec"]):
        monkeypatch.setattr(sys, "argv", [*command, "--models", *models])
        published.main()
    document = json.loads((tmp_path / "published.json").read_text())
    assert [row["model"] for row in document["rows"]] == ["sasrec_binary", "sasrec", "tiger"]
    for row in document["rows"]:
        assert [run["seed"] for run in row["runs"]] == [0, 1]
        assert 0 <= row["recall@10"]["mean"] <= 1
        assert row["ratio recall@10"] == row["recall@10"]["mean"] / row["published recall@10"]
        assert len(cells(row)) == len(published.HEADER)
    assert (tmp_path / "published.md").read_text() == markdown(document)
    assert document["data"] == {"name": "Amazon Beauty 2014", "users": 40, "items": 300}
