"""A small sound data set in the house's own schema, and the stage as a user runs it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from higr.config import DataConfig
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData

START = datetime(2026, 3, 1, tzinfo=UTC)
USERS, ITEMS, REQUESTS, SLATE = 6, 12, 8, 5


@pytest.fixture(scope="session")
def good() -> dict[str, pa.Table]:
    """events (6 users, 8 requests each of 5 items), items (12), users (6)."""
    rows = []
    for request in range(REQUESTS):
        for user in range(USERS):
            for position in range(SLATE):
                moment = START + timedelta(hours=request, minutes=user, seconds=position)
                rows.append(
                    {
                        "user_id": f"u{user}",
                        "item_id": f"i{(user + request + position) % ITEMS:02d}",
                        "timestamp": int(moment.timestamp() * 1000),
                        "request_id": f"r{request}-{user}",
                        "position": position,
                        "watch_seconds": float(4 * position),
                        "duration_seconds": 20.0,
                        "liked": position == SLATE - 1,
                    }
                )
    items = [{"item_id": f"i{i:02d}", "category": f"c{i % 3}", "text": f"item {i}"} for i in range(ITEMS)]
    users = [{"user_id": f"u{u}", "age": f"{20 + u}"} for u in range(USERS)]
    return {
        name: pa.Table.from_pylist(rows)
        for name, rows in (("events", rows), ("items", items), ("users", users))
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, pa.Table]], DataConfig]:
    """Writes tables to a folder and gives the configuration that reads it."""

    def to_folder(tables: dict[str, pa.Table], **fields: Any) -> DataConfig:
        for name, table in tables.items():
            pq.write_table(table, tmp_path / f"{name}.parquet")
        return DataConfig(source="tables", path=str(tmp_path), **fields)

    return to_folder


@pytest.fixture
def stage(tmp_path: Path) -> Callable[[DataConfig], PreparedData]:
    """prepare and save, as `higr data` does; what it wrote lies in tmp_path/"out"."""

    def run(config: DataConfig) -> PreparedData:
        data = prepare(config, seed=0)
        data.save(tmp_path / "out")
        return data

    return run
