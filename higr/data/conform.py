"""A table as given, made to look like its schema: columns, types, units. Judges whole columns only."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from higr.data.schemas import TIMESTAMP
from higr.errors import InputError

EARLIEST_MS = 100_000_000_000  # 1973: seconds since the epoch stay below it until the year 5138
LATEST_MS = 100_000_000_000_000  # year 5138: microseconds since 1973 lie above it


def conform(table: pa.Table, schema: pa.Schema, file: str) -> pa.Table:
    """Columns of `schema`, absent optional ones null. Nulls and odd values are left in.

    Raises:
        InputError: no rows, a required column is missing, a column of another type, timestamps in
            seconds or microseconds.
    """
    if not table.num_rows:
        raise InputError(f"{file}: 0 rows; supply at least one")
    columns = {}
    for field in schema:
        places = [i for i, name in enumerate(table.column_names) if name == field.name]
        if len(places) > 1:
            raise InputError(f"{file}: column {field.name} appears {len(places)} times; keep one")
        if places:
            columns[field.name] = _convert(table.column(places[0]), field, file)
        elif field.nullable:
            columns[field.name] = pa.nulls(table.num_rows, field.type)
        else:
            raise InputError(
                f"{file}: required column {field.name} ({field.type}) is missing ({table.num_rows} rows, "
                f"columns {', '.join(table.column_names)[:200]}); rename or add it"
            )
    return pa.table(columns, schema=pa.schema([field.with_nullable(True) for field in schema]))


def _convert(column: pa.ChunkedArray, field: pa.Field, file: str) -> pa.ChunkedArray:
    given = column.type.value_type if pt.is_dictionary(column.type) else column.type
    if not _accepts(field.type, given):
        raise InputError(
            f"{file}: column {field.name} is {column.type} in {len(column)} rows where {field.type} is due; "
            "convert it"
        )
    try:
        plain = column.cast(given)
        if pt.is_timestamp(field.type):
            return _moments(plain, field.name, file)
        if pt.is_fixed_size_list(given):
            plain = _emptied(plain)
        return plain.cast(field.type, safe=not pt.is_floating(field.type))
    except pa.ArrowException as error:  # a value that does not fit, or a type that Arrow cannot convert
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{file}: column {field.name} ({column.type}, {len(column)} rows) does not fit {field.type}: "
            f"{reason}; convert it"
        ) from None


def _emptied(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As lists without values behind a null: a null of a fixed-size list holds as many as the others."""
    lists = column.cast(pa.list_(column.type.value_type))
    return pa.chunked_array([chunk.take(pa.array(range(len(chunk)))) for chunk in lists.chunks], lists.type)


def _accepts(due: pa.DataType, given: pa.DataType) -> bool:
    if pt.is_null(given):
        return True
    if pt.is_list(due):
        lists = pt.is_list(given) or pt.is_large_list(given) or pt.is_fixed_size_list(given)
        return lists and _accepts(due.value_type, given.value_type)
    if pt.is_string(due):
        return (
            pt.is_string(given)
            or pt.is_large_string(given)
            or pt.is_string_view(given)
            or pt.is_integer(given)
        )
    if pt.is_timestamp(due):
        return pt.is_timestamp(given) or pt.is_integer(given)
    if pt.is_floating(due):
        return pt.is_floating(given) or pt.is_integer(given) or pt.is_decimal(given)
    if pt.is_boolean(due):
        return pt.is_boolean(given) or pt.is_integer(given)
    return pt.is_integer(given)


def _moments(column: pa.ChunkedArray, name: str, file: str) -> pa.ChunkedArray:
    """Integers are milliseconds; Arrow timestamps may have any unit, without time zone they are UTC."""
    if pt.is_timestamp(column.type):
        zoned = column.cast(pa.timestamp(column.type.unit, tz="UTC"))
        if column.type.unit == "s":  # clipped far out of range: times 1000 it might wrap around into it
            zoned = _clipped(zoned.cast(pa.int64()), LATEST_MS).cast(zoned.type)
        stamps = zoned.cast(TIMESTAMP, safe=False)
    else:
        stamps = column.cast(pa.int64()).cast(TIMESTAMP)
    span = pc.min_max(stamps.cast(pa.int64())).as_py()
    if span["max"] is None:
        return stamps
    for wrong, unit, hint in (
        (0 < span["max"] < EARLIEST_MS, "seconds", "multiply by 1000"),
        (span["min"] > LATEST_MS, "microseconds", "divide by 1000"),
    ):
        if wrong:
            raise InputError(
                f"{file}: column {name} holds {unit} ({span['min']} .. {span['max']} in {len(column)} rows) "
                f"where milliseconds are due; {hint}"
            )
    return stamps


def _clipped(numbers: pa.ChunkedArray, limit: int) -> pa.ChunkedArray:
    low, high = pa.scalar(-limit, numbers.type), pa.scalar(limit, numbers.type)
    numbers = pc.if_else(pc.less(numbers, low), low, numbers)
    return pc.if_else(pc.greater(numbers, high), high, numbers)
