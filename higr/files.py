"""Writing so that a reader never sees half a file, and fingerprints of what was written."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from higr.errors import InputError


@contextmanager
def atomic_file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A path to write to beside `path`; renamed over it when the block ends well, else removed.

    durable: return only when a machine that loses its power would still have it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o644)
        if durable:
            _flush(aside)
        aside.replace(path)
        if durable:
            _flush(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A fresh directory beside `path` that takes its place when the block ends well.

    Where `path` exists it is moved away first: for a moment there is none, and it is put back if the
    new one cannot take its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    aside.chmod(0o755)
    try:
        yield aside
        _let_others_read(aside)
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            path.replace(old / "was")
            try:
                aside.replace(path)
            except OSError:
                (old / "was").replace(path)
                raise
            finally:
                shutil.rmtree(old)
        else:
            aside.replace(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _let_others_read(folder: Path) -> None:
    """safetensors writes files for their owner alone, and who serves a bundle is often somebody else."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.stat().st_mode & 0o044:
            path.chmod(0o644)


def write_json(path: Path, value: Any) -> None:
    with atomic_file(path) as aside:
        aside.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the stage that writes it first") from None
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON ({error}); write it again") from None


def write_table(path: Path, table: pa.Table, *, durable: bool = False) -> None:
    """See `atomic_file`."""
    with atomic_file(path, durable=durable) as aside:
        pq.write_table(table, aside, compression="zstd")


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the stage that writes it first") from None
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is not a readable Parquet file ({reason}); write it again") from None


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
