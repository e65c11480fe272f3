"""Where the table expressions run: DuckDB in memory here; the expressions know no engine.

Expressions see moments as int64 milliseconds UTC: engines disagree on time zones, not on integers.
"""

from typing import Any

import ibis
import pyarrow as pa


def relation(table: pa.Table) -> Any:
    """An Ibis table over `table`, its timestamps (milliseconds) as int64."""
    fields = [
        pa.field(f.name, pa.int64(), f.nullable) if pa.types.is_timestamp(f.type) else f for f in table.schema
    ]
    return ibis.memtable(table.cast(pa.schema(fields)))


def collect(expression: Any, schema: pa.Schema) -> pa.Table:
    """Run an Ibis table expression and give its result the columns and types of `schema`."""
    result = ibis.duckdb.connect().to_pyarrow(expression)
    return result.select(schema.names).cast(schema)
