"""All parts of a log as one table: folders of Parquet files, as serving writes them."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from higr.data.logs import ADDED, with_added
from higr.data.raw import read_parquet
from higr.errors import InputError


def read_parts(folders: Sequence[Path], schema: pa.Schema) -> pa.Table:
    """Rows of every part below `folders`, in the order of their paths; every column may be null.

    Files and folders whose name starts with a dot are being written. Parts of earlier versions have null in
    the columns that were added since.

    Args:
        schema: of the log, or those of its columns that are wanted.

    Raises:
        InputError: no such folder, no part in it, or a part that cannot be used.
    """
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    tables = []
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; give the one that serving writes its log to")
        paths = [path for path in sorted(folder.rglob("*.parquet")) if not _hidden(path.relative_to(folder))]
        if not paths:
            raise InputError(f"{folder} holds no part of a log (*.parquet); give one that does")
        tables += [_part(path, schema).cast(nullable) for path in paths]
    return pa.concat_tables(tables)


def _part(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        present = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        present = []  # what is wrong with the file is said when it is read
    wanted = {f.name: f.type for f in schema if f.name in present or f.name not in ADDED}
    return with_added(read_parquet(path, wanted), schema).select(schema.names)


def _hidden(path: Path) -> bool:
    return any(name.startswith(".") for name in path.parts)
