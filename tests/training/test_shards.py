"""Run: pytest tests/training"""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from higr.errors import InputError
from higr.training.batches import Batches, InMemory
from higr.training.examples import Examples
from higr.training.shards import MANIFEST, Shards, write_shards
from tests.training.tiny import HISTORY, SLATE, examples


def same(one: Examples, two: Examples) -> bool:
    first, second = one.columns(), two.columns()
    return all(
        torch.equal(first[name], second[name]) and first[name].dtype == second[name].dtype for name in first
    )


@pytest.mark.parametrize("profile", [0, 2])
def test_shards_give_the_batches_that_memory_gives(tmp_path: Path, profile: int) -> None:
    data = examples(37, profile=profile)
    shards = write_shards(tmp_path / "train", [data[:10], data[10:11], data[11:]], 4)
    assert len(shards) == 37
    assert all(same(shards.shard(n), data[n::4]) for n in range(4))
    pairs = zip(
        Batches(shards, 8, seed=5).epoch(2), Batches(InMemory(data, 4), 8, seed=5).epoch(2), strict=True
    )
    assert all(same(one, two) for one, two in pairs)


def test_columns_are_fixed_size_lists_of_the_smallest_type(tmp_path: Path) -> None:
    write_shards(tmp_path / "train", [examples(5, profile=1)], 2)
    schema = pq.read_schema(tmp_path / "train/shard-00000.parquet")
    assert str(schema.field("context_items").type) == f"fixed_size_list<element: int32>[{HISTORY}]"
    assert str(schema.field("context_feedback").type) == f"fixed_size_list<element: int8>[{HISTORY}]"
    assert str(schema.field("target_items").type) == f"fixed_size_list<element: int64>[{SLATE}]"


def test_a_rank_reads_its_own_shards_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = write_shards(tmp_path / "train", [examples(20)], 4)
    read: list[int] = []
    shard = shards.shard
    monkeypatch.setattr(shards, "shard", lambda number: read.append(number) or shard(number))
    Batches(shards, 8, seed=0, rank=1, processes=2)
    assert read == [1, 3]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (Path.unlink, "shard-00001.parquet is missing; write the shards again"),
        (cut, r"shard-00001.parquet has \d+ of \d+ bytes"),
        (alter, "shard-00001.parquet is not what was written"),
    ],
)
def test_a_shard_that_is_missing_short_or_altered_is_named(
    tmp_path: Path, harm: object, message: str
) -> None:
    write_shards(tmp_path / "train", [examples(9)], 2)
    harm(tmp_path / "train/shard-00001.parquet")
    with pytest.raises(InputError, match=message):
        Batches(Shards(tmp_path / "train"), 2, seed=0)


def test_a_manifest_of_another_version_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest.json does not exist"):
        Shards(tmp_path)
    write_shards(tmp_path / "train", [examples(9)], 2)
    path = tmp_path / "train" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 9}))
    with pytest.raises(InputError, match="schema version 9, this code reads 1"):
        Shards(tmp_path / "train")


def test_nothing_is_left_of_shards_that_could_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no examples to write"):
        write_shards(tmp_path / "train", [], 2)
    with pytest.raises(InputError, match="examples from row 4 on have the columns"):
        write_shards(tmp_path / "train", [examples(4), examples(4, profile=1)], 2)
    assert list(tmp_path.iterdir()) == []
