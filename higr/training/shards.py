"""Examples on disk: S Parquet files of static shapes and a manifest that says what must be there.

    train/
      manifest.json             schema version, rows, columns with type and width, files with sha256
      shard-00000.parquet       rows 0, S, 2 S, ...
      shard-00001.parquet       rows 1, S + 1, ...

Every column is a fixed-size list, so a shard is read as one array a column. A process opens its own
shards alone and holds them in memory: at H 64 and M 5 a row is some 400 bytes, so a hundred million
slates over 8 processes are 5 GB each.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from higr.errors import InputError
from higr.files import atomic_directory, read_json, read_table, sha256, write_json
from higr.training.examples import Examples

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
AGAIN = "write the shards again"


def write_shards(directory: Path, chunks: Iterable[Examples], shards: int) -> "Shards":
    """Deal the rows of all chunks to shards in turn. The directory appears when all is written.

    Args:
        chunks: parts of the data in order; only one at a time is in memory.
        shards: S; a multiple of the number of training processes, and a divisor of the batch size.

    Raises:
        InputError: no rows, or chunks of different shapes.
    """
    rows = 0
    columns: dict[str, list[Any]] = {}
    writers: dict[str, pq.ParquetWriter] = {}
    with atomic_directory(directory) as aside:
        names = [f"shard-{number:05d}.parquet" for number in range(shards)]
        try:
            for chunk in chunks:
                table = chunk.columns()
                columns = columns or _shapes(table)
                if _shapes(table) != columns:
                    raise InputError(
                        f"examples from row {rows} on have the columns {_shapes(table)}, those before "
                        f"{columns}; encode all with one configuration"
                    )
                for number, name in enumerate(names):
                    part = _to_arrow({n: t[(number - rows) % shards :: shards] for n, t in table.items()})
                    if name not in writers:
                        writers[name] = pq.ParquetWriter(aside / name, part.schema, compression="zstd")
                    writers[name].write_table(part)
                rows += len(chunk)
        finally:
            for writer in writers.values():
                writer.close()
        if rows == 0:
            raise InputError(f"no examples to write to {directory}; look at the data report")
        files = [
            {"file": name, "rows": len(range(n, rows, shards)), **_stamp(aside / name)}
            for n, name in enumerate(names)
        ]
        document = {"schema_version": SCHEMA_VERSION, "rows": rows, "columns": columns, "shards": files}
        write_json(aside / MANIFEST, document)
    return Shards(directory)


class Shards:
    """A `Source` over what `write_shards` wrote.

    Raises:
        InputError: no manifest, one of another schema version, a shard that is missing or short; when a
            shard is read, also one whose content is not what was written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        document = read_json(directory / MANIFEST)
        if document.get("schema_version") != SCHEMA_VERSION:
            raise InputError(
                f"{directory / MANIFEST} has schema version {document.get('schema_version')}, "
                f"this code reads {SCHEMA_VERSION}; {AGAIN}"
            )
        self._rows: int = document["rows"]
        self._columns: dict[str, list[Any]] = document["columns"]
        self._files: list[dict[str, Any]] = document["shards"]
        for entry in self._files:
            path = directory / entry["file"]
            if not path.is_file():
                raise InputError(f"shard {path} is missing; {AGAIN}")
            if path.stat().st_size != entry["bytes"]:
                raise InputError(f"shard {path} has {path.stat().st_size} of {entry['bytes']} bytes; {AGAIN}")

    def __len__(self) -> int:
        return self._rows

    @property
    def shards(self) -> int:
        return len(self._files)

    @property
    def fingerprint(self) -> str:
        """sha256 of the manifest, which holds that of every shard."""
        return sha256(self.directory / MANIFEST)

    def shard(self, number: int) -> Examples:
        """Read and verify one shard."""
        entry = self._files[number]
        path = self.directory / entry["file"]
        if sha256(path) != entry["sha256"]:
            raise InputError(f"shard {path} is not what was written (sha256 differs); {AGAIN}")
        table = read_table(path)
        return Examples.of(
            {
                name: _to_tensor(table, name, kind, width, entry["rows"])
                for name, (kind, width) in self._columns.items()
            }
        )


def _shapes(table: dict[str, Tensor]) -> dict[str, list[Any]]:
    """Column to its type and width; width None: one value a row."""
    return {
        name: [str(tensor.dtype).removeprefix("torch."), tensor.shape[1] if tensor.ndim == 2 else None]
        for name, tensor in table.items()
    }


def _to_arrow(table: dict[str, Tensor]) -> pa.Table:
    """Columns of width 0 are left out: Parquet has no place for them."""
    arrays = {}
    for name, tensor in table.items():
        flat = pa.array(np.ascontiguousarray(tensor.numpy()).reshape(-1))
        if tensor.ndim == 1:
            arrays[name] = flat
        elif tensor.shape[1] > 0:
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, tensor.shape[1])
    return pa.table(arrays)


def _to_tensor(table: pa.Table, name: str, kind: str, width: int | None, rows: int) -> Tensor:
    if width == 0:
        return torch.empty((rows, 0), dtype=getattr(torch, kind))
    column = table[name].combine_chunks()
    flat = (column if width is None else column.flatten()).to_numpy(zero_copy_only=False)
    values = torch.from_numpy(np.array(flat))  # torch wants memory it may write to
    return values if width is None else values.reshape(rows, width)


def _stamp(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}
