"""Run: pytest tests/data/test_arrivals.py

A file of items on its way into a catalogue: streamed, checked, nothing lost.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from higr.data import arrivals as module
from higr.data.arrivals import Arrivals
from higr.data.schemas import ITEMS
from higr.data.validate import QUARANTINE
from higr.errors import InputError


def rows(count: int, **every: Any) -> list[dict[str, Any]]:
    return [{"item_id": f"n{i:03d}", "category": "c", "text": f"item {i}"} | every for i in range(count)]


def write(path: Path, table: list[dict[str, Any]], schema: pa.Schema | None = None) -> Path:
    pq.write_table(pa.Table.from_pylist(table, schema=schema), path)
    return path


@pytest.mark.parametrize("batch", [3, 8192])
def test_sound_rows_pass_and_the_others_are_put_aside_whole(
    batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", batch)
    given = rows(20, status=None)
    given[4]["category"], given[7]["item_id"], given[19]["status"] = "", None, "gone"
    arrivals = Arrivals(write(tmp_path / "new.parquet", given), None, 0.05)
    tables = list(arrivals)
    assert len(tables) == (7 if batch == 3 else 1)
    kept = pa.concat_tables(tables)
    assert kept.schema.equals(ITEMS)
    assert kept["item_id"].to_pylist() == [
        row["item_id"] for n, row in enumerate(given) if n not in (4, 7, 19)
    ]
    assert set(kept["status"].to_pylist()) == {None}  # not known is not active
    assert (arrivals.rows, arrivals.total) == (20, 20)
    aside = arrivals.quarantine
    assert aside.schema.equals(QUARANTINE)
    assert aside["row"].to_pylist() == [4, 7, 19]
    assert json.loads(aside["record"][2].as_py())["status"] == "gone"
    assert dict(arrivals.reasons) == {
        "category is null or empty": 1,
        "item_id is null or empty": 1,
        "status is neither active nor disabled": 1,
    }


def test_an_embedding_must_be_as_wide_as_the_tokenizers_not_as_most_are(tmp_path: Path) -> None:
    given = rows(5, embedding=[1.0, 2.0, 3.0])
    given[0]["embedding"], given[1]["embedding"], given[2]["embedding"] = [1.0, 2.0], None, [1.0, np.nan]
    path = write(tmp_path / "new.parquet", given)
    arrivals = Arrivals(path, 2, 0.05)
    assert pa.concat_tables(list(arrivals))["item_id"].to_pylist() == ["n000", "n001"]
    assert dict(arrivals.reasons) == {
        "embedding has not the tokenizer's length 2": 2,
        "embedding holds null, NaN or infinity": 1,
    }


def test_all_embeddings_of_another_width_end_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "new.parquet", rows(5, embedding=[1.0, 2.0, 3.0]))
    with pytest.raises(InputError, match=r"5 of 5 rows cannot be used \(embedding has not .* length 2: 5\)"):
        list(Arrivals(path, 2, 1.0))


def test_few_faulty_rows_never_stop_but_a_faulty_feed_does(tmp_path: Path) -> None:
    few, many = rows(20), rows(200)
    for row in few[:10]:
        row["category"] = ""
    for row in many[:11]:
        row["category"] = ""
    assert sum(t.num_rows for t in Arrivals(write(tmp_path / "few.parquet", few), None, 0.05)) == 10
    with pytest.raises(InputError, match="11 of 200 rows cannot be used"):
        list(Arrivals(write(tmp_path / "many.parquet", many), None, 0.05))
    assert sum(t.num_rows for t in Arrivals(tmp_path / "many.parquet", None, 0.06)) == 189


@pytest.mark.parametrize("batch", [2, 8192])
def test_an_item_twice_is_refused_near_or_far(
    batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", batch)
    path = write(tmp_path / "new.parquet", [*rows(5), *rows(1)])
    with pytest.raises(InputError, match="item_id 'n000' appears more than once"):
        list(Arrivals(path, None, 1.0))


def text_file(path: Path) -> None:
    path.write_text("item_id,category\n")


def cut_short(path: Path) -> None:
    write(path, rows(100))
    path.write_bytes(path.read_bytes()[:-20])


def damaged_inside(path: Path) -> None:
    write(path, rows(1000))
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)


def no_rows(path: Path) -> None:
    write(path, [], ITEMS)


def no_category(path: Path) -> None:
    write(path, [{"item_id": "a"}])


def in_seconds(path: Path) -> None:
    write(path, rows(3, created_at=1_700_000_000))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist; give a Parquet file"),
        (lambda path: path.mkdir(), "does not exist; give a Parquet file"),
        (lambda path: path.write_bytes(b""), "is not readable Parquet"),
        (text_file, "is not readable Parquet"),
        (cut_short, "is not readable Parquet"),
        (damaged_inside, "is not readable Parquet"),
        (no_rows, "0 rows; supply at least one"),
        (no_category, "required column category"),
        (in_seconds, "column created_at holds seconds"),
    ],
)
def test_files_that_cannot_be_used(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path / "new.parquet")
    with pytest.raises(InputError, match=message) as error:
        list(Arrivals(tmp_path / "new.parquet", None, 1.0))
    assert "\n" not in str(error.value)
