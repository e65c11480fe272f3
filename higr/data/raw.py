"""What a source hands over before anything is checked, and how its files are read.

A source is a module with `load(config, seed) -> RawTables`. It renames, converts units and joins;
it judges no row: that is `higr.data.validate`.
"""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from higr.config import DataConfig
from higr.errors import InputError


@dataclass(frozen=True)
class RawTables:
    """Unchecked tables.

    Attributes:
        events: columns named as in `EVENTS`; timestamps as int64 milliseconds or Arrow timestamps.
        items: columns named as in `ITEMS`.
        users: `user_id` and profile columns; None where the source has no users table.
        files: for each table the file a message should name.
        event_key: columns that tell one exposure from another.
        quarantine: `higr.data.validate.QUARANTINE` of what the source itself put aside; None: nothing.
        counts: by table of the source, as `Checked.counts` has them.
    """

    events: pa.Table
    items: pa.Table
    users: pa.Table | None
    files: Mapping[str, str] = field(default_factory=dict)
    event_key: Sequence[str] = ("user_id", "item_id", "timestamp")
    quarantine: pa.Table | None = None
    counts: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def file(self, table: str) -> str:
        return self.files.get(table, table)


def folder(config: DataConfig) -> Path:
    """The source's folder.

    Raises:
        InputError: it does not exist or is a file.
    """
    path = Path(config.path or "")
    if config.path is None or not path.is_dir():
        raise InputError(
            f"data.path {config.path!r} is not a folder; give the one with the {config.source} files"
        )
    return path


def find_file(base: Path, names: Sequence[str]) -> Path | None:
    """The first of `names` that exists, plain or with `.gz`."""
    for name in names:
        for candidate in (base / name, base / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    return None


def need_file(base: Path, *names: str) -> Path:
    """As `find_file`.

    Raises:
        InputError: none of them exists.
    """
    path = find_file(base, names)
    if path is None:
        raise InputError(f"{base / names[0]} does not exist (nor with .gz); put it there or mend data.path")
    return path


def read_parquet(path: Path, columns: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """Read `columns`, as the types they name, of a file a user gave (None: all, as they are).

    Raises:
        InputError: missing, empty, truncated, not Parquet, without one of `columns`, or one that
            does not fit its type.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; put it there or mend data.path")
    if not path.stat().st_size:
        raise InputError(f"{path} is empty (0 bytes); write it again")
    try:
        names = pq.read_schema(path).names
        _need_columns(path, names, columns or ())
        table = pq.read_table(path, columns=list(columns) if columns else None)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not readable Parquet ({_first_line(error)}); write it again") from None
    if columns is None:
        return table
    return pa.table({name: _typed(table[name], kind, name, path) for name, kind in columns.items()})


def read_csv(path: Path, columns: Mapping[str, pa.DataType]) -> pa.Table:
    """Read `columns` of a CSV, plain or gzipped, with or without a byte order mark.

    A lone carriage return inside a field counts as a blank: captions hold them unquoted.

    Raises:
        InputError: missing column, a value of another type, no rows, or a truncated archive.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read ({_first_line(error)}); fetch it again") from None
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b" ")
    header = content[: content.find(b"\n")].decode(errors="replace").split(",")
    _need_columns(path, [name.strip('"') for name in header], columns)
    try:
        table = csv.read_csv(
            pa.py_buffer(content),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict(columns),
                include_columns=list(columns),
                strings_can_be_null=True,
                null_values=["", "NULL", "null", "nan", "NaN"],
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not the CSV expected ({_first_line(error)}); fetch it again") from None
    if not table.num_rows:
        raise InputError(f"{path} has a header and 0 rows; fetch it again")
    return table


def _typed(column: pa.ChunkedArray, kind: pa.DataType, name: str, path: Path) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except pa.ArrowException as error:
        raise InputError(
            f"{path}: column {name} is {column.type} in {len(column)} rows and does not fit {kind} "
            f"({_first_line(error)}); convert it"
        ) from None


def _need_columns(path: Path, present: Sequence[str], due: Sequence[str] | Mapping[str, object]) -> None:
    missing = [name for name in due if name not in present]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; its columns are {', '.join(present)[:200]}"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
