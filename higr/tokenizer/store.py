"""Content vectors of more items than memory holds: batches of items in, a file of vectors out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from higr.data.schemas import ITEMS
from higr.errors import InputError
from higr.files import atomic_file
from higr.tokenizer.content import BLOCK, ContentEmbedder, normalise

ROWS = 2048
BUFFER = 1 << 20


@dataclass(frozen=True)
class ItemBatches:
    """Items in their order, as tables of at most `rows`; may be gone through more than once."""

    source: Path | pa.Table
    rows: int
    num_rows: int

    def __iter__(self) -> Iterator[pa.Table]:
        if isinstance(self.source, pa.Table):
            for start in range(0, self.num_rows, self.rows):
                yield self.source.slice(start, self.rows)
            return
        with _open(self.source) as file:
            try:
                for batch in file.iter_batches(self.rows):
                    yield pa.Table.from_batches([batch])
            except (pa.ArrowException, OSError) as error:
                raise _unreadable(self.source, error) from None


def item_batches(source: Path | pa.Table, rows: int = ROWS) -> ItemBatches:
    """`ITEMS` from a Parquet file or a table, a batch at a time: a file is never read whole.

    Raises:
        InputError: the file is missing or unreadable, the schema is another, or there are no rows.
    """
    if isinstance(source, pa.Table):
        schema, count = source.schema, source.num_rows
    else:
        with _open(source) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
    name = "items" if isinstance(source, pa.Table) else str(source)
    if not schema.equals(ITEMS):
        raise InputError(
            f"{name}: columns are {schema.names}; validate the table against {ITEMS.names} first"
        )
    if not count:
        raise InputError(f"{name}: the table is empty; the tokenizer needs items")
    return ItemBatches(source, rows, count)


def embed_to_file(
    embedder: ContentEmbedder,
    batches: Iterable[pa.Table],
    path: Path,
    progress: Callable[[int], None] | None = None,
) -> np.memmap:
    """Vectors of all batches, in their order, as an .npy file: memory does not grow with N.

    progress: told after each batch how many items are done.
    Returns (N, width) float32 over the file, copied on write: the file stays as it is.

    Raises:
        InputError: as `ContentEmbedder.transform`; the file is not written then.
    """
    blocks = (embedder.transform(batch) for batch in batches)
    return _write(path, embedder.width, blocks, progress)


def without_labels(embedder: ContentEmbedder, embeddings: np.ndarray, path: Path | None = None) -> np.ndarray:
    """The content vectors as they were without category and tags: to mine positives from where
    these are the yardstick that semantic IDs are judged by.

    embeddings: (N, width) of `embedder`. path: an .npy file for the result; None: memory.
    Returns (N, width - labels) float32, rows of length 1 or 0.

    Raises:
        InputError: vectors of another width, or nothing but labels in them.
    """
    if embeddings.shape[1] != embedder.width:
        raise InputError(
            f"embeddings have {embeddings.shape[1]} columns, the embedder makes {embedder.width}; embed the "
            "items with the tokenizer's own embedder"
        )
    span = embedder.spans.get("labels", slice(0, 0))
    columns = np.delete(np.arange(embedder.width), span)
    if not len(columns):
        raise InputError(
            "embeddings hold nothing but category and tags, so no positives can be mined without them; give "
            "the items text, enrichment, embeddings or events"
        )
    starts = range(0, len(embeddings), BLOCK)
    blocks = (normalise(embeddings[start : start + BLOCK, columns]) for start in starts)
    return np.concatenate(list(blocks)) if path is None else _write(path, len(columns), blocks, None)


def _write(
    path: Path, width: int, blocks: Iterable[np.ndarray], progress: Callable[[int], None] | None
) -> np.memmap:
    done = 0
    with atomic_file(path) as aside:
        with aside.open("wb") as file:
            _header(file, 0, width)
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
                done += len(block)
                if progress is not None:
                    progress(done)
            file.seek(0)
            _header(file, done, width)  # as long as the first: numpy leaves room for the count to grow
        if not done:
            raise InputError(f"{path}: no items to embed; the tokenizer needs items")
    return np.load(path, mmap_mode="c")


def _header(file: BinaryIO, count: int, width: int) -> None:
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
    )


def _open(path: Path) -> pq.ParquetFile:
    """Buffered: else Arrow reads a whole row group of a column at once."""
    try:
        return pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the stage that writes it first") from None
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not a readable Parquet file ({str(error).splitlines()[0]}); write it again")
