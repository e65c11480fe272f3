"""Positives of the contrast: for each item, the items its prefix should agree with.

Mined once, before training, from content vectors and training co-occurrence (HiGR, section on the
tokenizer: semantically similar items, or items that co-occur often; how many is not reported).
Category labels are never used by themselves: they are the yardstick of prefix quality. They count
only as far as `embedding.category_weight` puts them into the content vector; to keep them out of
the positives alone, mine from `store.without_labels`.
"""

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_matrix

from higr.files import atomic_file
from higr.tokenizer.neighbours import content_neighbours, cooccurrence_neighbours

Kind = Literal["content", "cooccurrence", "mixed"]

VERSION = 1
"""Of the rules by which positives are mined: raised when equal inputs come to give others."""

BLOCK = 65_536


def mine_positives(
    embeddings: np.ndarray,
    counts: csr_matrix,
    kind: Kind,
    neighbours: int,
    cache: Path | None = None,
) -> np.ndarray:
    """(N, neighbours) int64 row numbers, nearest first, -1 where an item has no more.

    embeddings: (N, width) float32, rows of length 1 or 0; may be a memory map. counts: (N, N) pair
    counts. `mixed` gives the first half to content, the rest to co-occurrence. An item is never its own.
    cache: a folder that keeps results by a hash of all inputs; a damaged file is mined again.

    Raises:
        InputError: NaN or infinite values in the embeddings.
    """
    if cache is None:
        return _mine(embeddings, counts, kind, neighbours)
    path = cache / f"positives-{_digest(embeddings, counts, kind, neighbours)[:16]}.parquet"
    found = _read(path, counts.shape[0], neighbours)
    if found is None:
        found = _mine(embeddings, counts, kind, neighbours)
        _write(path, found)
    return found


def _mine(embeddings: np.ndarray, counts: csr_matrix, kind: Kind, neighbours: int) -> np.ndarray:
    if kind == "content":
        return content_neighbours(embeddings, neighbours)
    if kind == "cooccurrence":
        return cooccurrence_neighbours(counts, neighbours)
    by_content = content_neighbours(embeddings, (neighbours + 1) // 2)
    return np.hstack([by_content, cooccurrence_neighbours(counts, neighbours // 2)])


def _digest(embeddings: np.ndarray, counts: csr_matrix, kind: Kind, neighbours: int) -> str:
    settings = (VERSION, kind, neighbours, embeddings.shape, counts.shape)
    digest = hashlib.sha256(repr(settings).encode())
    if kind != "cooccurrence":
        import faiss

        digest.update(faiss.__version__.encode())
        for start in range(0, len(embeddings), BLOCK):
            digest.update(np.ascontiguousarray(embeddings[start : start + BLOCK], dtype=np.float32).tobytes())
    if kind != "content":
        ordered = counts.sorted_indices()
        for part, kept in (
            (ordered.indptr, np.int64),
            (ordered.indices, np.int64),
            (ordered.data, np.float64),
        ):
            digest.update(np.ascontiguousarray(part, dtype=kept).tobytes())
    return digest.hexdigest()


def _write(path: Path, positives: np.ndarray) -> None:
    rows = pa.FixedSizeListArray.from_arrays(pa.array(positives.reshape(-1)), positives.shape[1])
    with atomic_file(path) as aside:
        pq.write_table(pa.table({"rows": rows}), aside, compression="zstd", write_page_checksum=True)


def _read(path: Path, size: int, neighbours: int) -> np.ndarray | None:
    """What `_write` wrote; None where there is no such file, or it was damaged since."""
    try:
        column = pq.read_table(path, page_checksum_verification=True)["rows"].combine_chunks()
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError, KeyError):
        return None
    if column.type != pa.list_(pa.int64(), neighbours) or len(column) != size:
        return None
    return column.flatten().to_numpy(zero_copy_only=False).reshape(size, neighbours).copy()
