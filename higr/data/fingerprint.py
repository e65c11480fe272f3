"""One sha256 over the content of tables: equal for equal rows, however they are chunked or stored."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt


def fingerprint(tables: Mapping[str, pa.Table]) -> str:
    """Hex digest; names, column names, types, order of rows and every value count."""
    digest = hashlib.sha256()
    for name in sorted(tables):
        digest.update(f"{name}:{tables[name].num_rows}".encode())
        for field in tables[name].schema:
            digest.update(field.name.encode())
            _feed(digest, tables[name][field.name].combine_chunks())
    return digest.hexdigest()


def _feed(digest: Any, array: pa.Array) -> None:
    # Parquet renames a list's child, so a list is named by its values' type.
    digest.update(b"list" if pt.is_list(array.type) else str(array.type).encode())
    digest.update(pc.is_valid(array).to_numpy(zero_copy_only=False).tobytes())
    if pt.is_list(array.type):
        digest.update(pc.fill_null(pc.list_value_length(array), 0).to_numpy().tobytes())
        _feed(digest, pc.list_flatten(array))
    elif pt.is_string(array.type):
        text = pc.fill_null(array, "")
        digest.update(pc.binary_length(text).to_numpy().tobytes())
        digest.update("".join(text.to_pylist()).encode())
    else:
        stored = array.cast(pa.int64()) if pt.is_timestamp(array.type) else array
        zero = pa.scalar(0).cast(stored.type)
        digest.update(pc.fill_null(stored, zero).to_numpy(zero_copy_only=False).tobytes())
