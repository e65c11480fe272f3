"""Where the table expressions run: DuckDB in memory, or Spark; the expressions know no engine.

Expressions see moments as int64 milliseconds UTC: engines disagree on time zones, not on integers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Protocol

import ibis
import pyarrow as pa

Name = Literal["duckdb", "spark"]


class Engine(Protocol):
    """Runs Ibis table expressions over the tables it was given."""

    def table(self, table: pa.Table) -> Any: ...

    def run(self, expression: Any) -> pa.Table: ...


class DuckDB:
    """In this process, on all its cores."""

    def table(self, table: pa.Table) -> Any:
        return ibis.memtable(table)

    def run(self, expression: Any) -> pa.Table:
        return ibis.duckdb.connect().to_pyarrow(expression)


_engine: ContextVar[Engine] = ContextVar("engine", default=DuckDB())  # noqa: B039 (it has no state)


@contextmanager
def running_on(name: Name) -> Iterator[None]:
    """Expressions of the block run there.

    Raises:
        InputError: Spark is not installed or cannot be reached.
    """
    if name == "duckdb":
        yield
        return
    from higr.data.spark import Spark

    with Spark.session() as spark:
        before = _engine.set(spark)
        try:
            yield
        finally:
            _engine.reset(before)


def relation(table: pa.Table) -> Any:
    """An Ibis table over `table`, its timestamps (milliseconds) as int64."""
    fields = [
        pa.field(f.name, pa.int64(), f.nullable) if pa.types.is_timestamp(f.type) else f for f in table.schema
    ]
    return _engine.get().table(table.cast(pa.schema(fields)))


def collect(expression: Any, schema: pa.Schema) -> pa.Table:
    """Run an Ibis table expression and give its result the columns and types of `schema`."""
    return _engine.get().run(expression).select(schema.names).cast(schema)
