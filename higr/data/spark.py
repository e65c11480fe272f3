"""Table expressions on Spark: the cluster that the environment names, or this machine.

`SPARK_REMOTE` (sc://host:15002) names a Spark Connect server, which needs no Java here; without it a session
is started in this process by Spark's own rules (`spark-submit`, `spark-defaults.conf`, else all local cores).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import ibis
import pyarrow as pa

from higr.errors import InputError

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    # Division by zero and overflow are null or wrap, as the expressions are written for.
    "spark.sql.ansi.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


class Spark:
    """One session; tables go to it and results come from it as Arrow."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._numbers = count()
        self._connection = ibis.pyspark.connect(session)

    @classmethod
    @contextmanager
    def session(cls) -> Iterator["Spark"]:
        """A session, ended with the block if it was started here.

        Raises:
            InputError: pyspark is not installed, there is no Java, or the server does not answer.
        """
        try:
            from pyspark.sql import SparkSession
        except ImportError:
            raise InputError(
                "data.engine is spark, but pyspark is not installed; install the extra `spark`"
            ) from None
        # A Connect session is another class, and only its own server knows whether one is active.
        running = None if os.environ.get("SPARK_REMOTE") else SparkSession.getActiveSession()
        builder = SparkSession.builder.appName("higr-prepare")
        for name, value in SETTINGS.items():
            builder = builder.config(name, value)
        try:
            session = builder.getOrCreate()
        except Exception as error:  # of the gateway, of gRPC, or of the JVM
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise InputError(
                f"data.engine is spark, but there is no session ({reason}); check SPARK_REMOTE, or Java"
            ) from None
        try:
            yield cls(session)
        finally:
            if running is None:
                session.stop()

    def table(self, table: pa.Table) -> Any:
        name = f"higr_{next(self._numbers)}"
        self._session.createDataFrame(table).createOrReplaceTempView(name)
        return self._connection.table(name)

    def run(self, expression: Any) -> pa.Table:
        # Not by Ibis, which goes through pandas: integers that are null would be floats.
        return self._session.sql(ibis.to_sql(expression, dialect="pyspark")).toArrow()
