"""Items streamed, vectors on file: the same as in memory, and memory that does not grow with them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_matrix

from higr.config import EmbeddingConfig
from higr.data.prepared import PreparedData
from higr.data.schemas import ITEMS
from higr.errors import InputError
from higr.tokenizer import content
from higr.tokenizer.content import ContentEmbedder
from higr.tokenizer.store import embed_to_file, item_batches

Items = Callable[..., pa.Table]


@pytest.fixture(scope="module")
def embedder(prepared: PreparedData) -> ContentEmbedder:
    nobody = csr_matrix((200, 200))
    return ContentEmbedder.fit(prepared.items, nobody, EmbeddingConfig(), seed=0)


class TestBatches:
    @pytest.mark.parametrize("rows", [1, 7, 64, 1000])
    def test_all_items_in_their_order_as_often_as_asked(
        self, prepared: PreparedData, tmp_path: Path, rows: int
    ) -> None:
        path = tmp_path / "items.parquet"
        pq.write_table(prepared.items, path, row_group_size=30)
        for source in (path, prepared.items):
            batches = item_batches(source, rows)
            assert batches.num_rows == 200
            for _ in range(2):
                tables = list(batches)
                assert max(table.num_rows for table in tables) <= rows
                assert pa.concat_tables(tables).equals(prepared.items)
                assert all(table.schema.equals(ITEMS) for table in tables)

    def test_refuses_what_is_no_items_table(self, prepared: PreparedData, tmp_path: Path) -> None:
        path = tmp_path / "items.parquet"
        with pytest.raises(InputError, match="does not exist"):
            item_batches(path)
        path.write_bytes(b"PAR1")
        with pytest.raises(InputError, match="not a readable Parquet file") as error:
            item_batches(path)
        assert "\n" not in str(error.value)
        pq.write_table(prepared.items.drop_columns(["text"]), path)
        with pytest.raises(InputError, match="columns are"):
            item_batches(path)
        for empty in (ITEMS.empty_table(), path):
            pq.write_table(ITEMS.empty_table(), path)
            with pytest.raises(InputError, match="empty"):
                item_batches(empty)

    def test_damage_behind_a_sound_footer(self, prepared: PreparedData, tmp_path: Path) -> None:
        path = tmp_path / "items.parquet"
        pq.write_table(prepared.items, path, compression="zstd")
        whole = path.read_bytes()
        path.write_bytes(whole[:100] + bytes(len(whole) // 2) + whole[100 + len(whole) // 2 :])
        with pytest.raises(InputError, match="not a readable Parquet file"):
            list(item_batches(path))


class TestFile:
    def test_the_same_as_in_memory(
        self, embedder: ContentEmbedder, prepared: PreparedData, tmp_path: Path
    ) -> None:
        told: list[int] = []
        path = tmp_path / "vectors.npy"
        rows = embed_to_file(embedder, item_batches(prepared.items, 64), path, told.append)
        assert isinstance(rows, np.memmap)
        assert np.array_equal(rows, embedder.transform(prepared.items))
        assert rows.shape == (200, embedder.width)
        assert told == [64, 128, 192, 200]
        rows[0] = 7.0  # in this process alone
        assert np.array_equal(np.load(path), embedder.transform(prepared.items))
        assert [p.name for p in tmp_path.iterdir()] == ["vectors.npy"]

    def test_nothing_is_left_of_a_failure(
        self, prepared: PreparedData, items_table: Items, tmp_path: Path
    ) -> None:
        given = items_table(item_id=["a", "b"], embedding=[[1.0, 2.0], [3.0, 4.0]])
        fitted = ContentEmbedder.fit(given, csr_matrix((2, 2)), EmbeddingConfig(), seed=0)
        odd = items_table(item_id=["c"], embedding=[[1.0]])
        with pytest.raises(InputError, match="item 'c' has 1 values, the tokenizer knows 2"):
            embed_to_file(fitted, [given, odd], tmp_path / "vectors.npy")
        with pytest.raises(InputError, match="no items to embed"):
            embed_to_file(fitted, [], tmp_path / "vectors.npy")
        assert not list(tmp_path.iterdir())


def test_blocks_make_no_difference(
    embedder: ContentEmbedder, prepared: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embedder.transform(prepared.items)
    monkeypatch.setattr(content, "BLOCK", 9)
    assert np.allclose(embedder.transform(prepared.items), whole, atol=1e-6)


CHILD = """
import json, sys
from pathlib import Path
from scipy.sparse import csr_matrix
from higr.config import EmbeddingConfig
from higr.tokenizer.content import ContentEmbedder
from higr.tokenizer.store import embed_to_file, item_batches
source, target = Path(sys.argv[1]), Path(sys.argv[2])
sample = next(iter(item_batches(source)))
fitted = ContentEmbedder.fit(sample, csr_matrix((sample.num_rows,) * 2), EmbeddingConfig(), 0)
rows = embed_to_file(fitted, item_batches(source), target)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) / 1024  # getrusage would count the parent's memory, too
print(json.dumps({"rows": rows.shape[0], "megabytes": rows.nbytes / 2**20, "peak": peak}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_memory_does_not_grow_with_the_items(items_table: Items, tmp_path: Path) -> None:
    """Ten times the items, 60 MB more of vectors on file and in the source, no more at the peak."""
    seen = {}
    for count in (12_000, 120_000):
        values = pa.array(np.random.default_rng(0).random(count * 128, np.float32))
        columns = {
            "item_id": pa.array(np.arange(count)).cast(pa.string()),
            "category": pa.array(["x", "y"] * (count // 2)),
            "embedding": pa.ListArray.from_arrays(
                pa.array(np.arange(0, count * 128 + 1, 128), pa.int32()), values
            ),
        }
        arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in ITEMS]
        path = tmp_path / f"{count}.parquet"
        pq.write_table(pa.table(arrays, schema=ITEMS), path)
        command = [sys.executable, "-c", CHILD, str(path), str(tmp_path / f"{count}.npy")]
        seen[count] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        assert seen[count]["rows"] == count
    assert seen[120_000]["megabytes"] - seen[12_000]["megabytes"] > 50
    assert seen[120_000]["peak"] - seen[12_000]["peak"] < 30
