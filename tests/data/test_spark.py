"""Prepared on Spark as on DuckDB: equal tables, from generated logs and from KuaiRand's."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from higr.config import DataConfig, load_config
from higr.data.engine import running_on
from higr.data.prepare import prepare
from higr.errors import InputError
from tests.tools import require, require_spark

DEFAULTS = """
spark.master local[1]
spark.ui.enabled false
spark.sql.shuffle.partitions 1
spark.default.parallelism 1
spark.driver.memory 1g
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
spark.sql.codegen.wholeStage false
spark.sql.codegen.factoryMode NO_CODEGEN
"""
"""One process, and little compiling: these tables are small."""
USERS = 400
REPOSITORY = Path(__file__).parents[2]
CONNECTED = """
from higr.config import load_config
from higr.data.prepare import prepare

config = load_config("nano", {"data.simulator.users": 20}).data
here, there = (prepare(config.model_copy(update={"engine": name}), 0) for name in ("duckdb", "spark"))
same = here.events.equals(there.events) and here.slates.equals(there.slates) and here.slates.num_rows
print("equal" if same else "different")
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One for all tests here: a session takes seconds to start."""
    require_spark()
    folder = tmp_path_factory.mktemp("spark")
    (folder / "spark-defaults.conf").write_text(DEFAULTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(folder))
        patch.delenv("SPARK_REMOTE", raising=False)
        from pyspark.sql import SparkSession

        started = SparkSession.builder.getOrCreate()
        started.sparkContext.setLogLevel("ERROR")
        yield
        started.stop()


@pytest.fixture(scope="module")
def kuairand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cut of KuaiRand, of its first users that have exposures in both periods."""
    source = require("data") / "kuairand_pure"
    folder = tmp_path_factory.mktemp("kuairand")
    shutil.copytree(source, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    tables = {name: pq.read_table(folder / "splits" / f"{name}.parquet") for name in ("val", "test")}
    both = sorted(set.intersection(*(set(table["user_id"].to_pylist()) for table in tables.values())))
    kept = pa.array(both[:USERS], tables["val"]["user_id"].type)
    for path in (*(folder / "splits").glob("*.parquet"), folder / "user_sequences.parquet"):
        table = pq.read_table(path)
        path.chmod(0o644)
        pq.write_table(table.filter(pc.is_in(table["user_id"], value_set=kept)), path)
    return folder


@pytest.mark.slow
def test_generated_logs(session: None) -> None:
    config = load_config("nano", {"data.simulator.users": 40}).data
    _equal(config.model_copy(update={"slates": "auto", "session_gap_minutes": 30.0}))


@pytest.mark.slow
def test_kuairand(session: None, kuairand: Path) -> None:
    prepared = _equal(load_config("kuairand", {"data.path": str(kuairand)}).data)
    assert prepared > 10_000


@pytest.mark.slow
def test_a_connect_server_gives_the_same(tmp_path: Path) -> None:
    """A process of its own: in one that has a session of the other kind there is none of this."""
    require_spark("grpc_status")
    (tmp_path / "spark-defaults.conf").write_text(DEFAULTS.replace("spark.master local[1]\n", ""))
    environment = {
        **os.environ,
        "SPARK_CONF_DIR": str(tmp_path),
        "SPARK_REMOTE": "local[1]",  # a server started here; elsewhere sc://host:15002
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [sys.executable, "-c", CONNECTED], env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.stdout.splitlines()[-1:] == ["equal"], done.stderr[-3000:]


def _equal(config: DataConfig) -> int:
    here, there = (prepare(config.model_copy(update={"engine": engine}), 0) for engine in ("duckdb", "spark"))
    for name in ("events", "items", "users", "slates", "quarantine"):
        assert getattr(here, name).equals(getattr(there, name)), name
    assert here.report == there.report
    return here.events.num_rows


def test_without_pyspark_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(InputError, match="install the extra `spark`"), running_on("spark"):
        pytest.fail("the body ran")
