import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from higr.data.logs import PREDICTIONS
from higr.errors import InputError
from serving.prediction_log import PredictionLog


def row(request_id: str) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
        "user_id": "u",
        "source": "higr",
        "fallback_reason": None,
        "model_version": "v",
        "item_ids": ["a", "b"],
        "scores": [1.0, 0.5],
        "semantic_ids": [[1, 2, 3], [4, 5, 6]],
        "history_length": 3,
        "degraded": False,
        "latency_ms": 1.5,
    }


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def ids(folder: Path) -> list[str]:
    return [value for part in parts(folder) for value in pq.read_table(part)["request_id"].to_pylist()]


def until(done: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_parts_have_the_schema_and_every_row_in_order(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "deep" / "log", rows=3, seconds=60)
    for n in range(7):
        log.append(row(str(n)))
    log.close()
    folder = tmp_path / "deep" / "log"
    assert [pq.read_table(part).num_rows for part in parts(folder)] == [3, 3, 1]
    assert ids(folder) == [str(n) for n in range(7)]
    assert pq.read_schema(parts(folder)[0]).equals(PREDICTIONS)


def test_the_oldest_row_waits_no_longer_than_asked(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, rows=1000, seconds=0.05)
    log.append(row("a"))
    until(lambda: ids(tmp_path) == ["a"])
    log.close()
    log.close()  # twice is as good as once


def test_a_part_that_cannot_be_written_is_counted_and_the_next_one_is(tmp_path: Path) -> None:
    failures: list[int] = []
    log = PredictionLog(tmp_path / "log", rows=1, on_failure=lambda: failures.append(1))
    aside = tmp_path / "aside"
    (tmp_path / "log").rename(aside)
    (tmp_path / "log").write_text("a file where the folder was")
    log.append(row("lost"))
    until(lambda: len(failures) == 1)
    (tmp_path / "log").unlink()
    aside.rename(tmp_path / "log")
    log.append(row("kept"))
    log.close()
    assert ids(tmp_path / "log") == ["kept"]
    assert len(failures) == 1


def test_a_full_queue_refuses_and_counts(tmp_path: Path) -> None:
    failures: list[int] = []
    log = PredictionLog(tmp_path, rows=1, waiting=1, on_failure=lambda: failures.append(1))
    for n in range(2000):
        log.append(row(str(n)))
    log.close()
    assert failures
    assert len(ids(tmp_path)) + len(failures) == 2000


def test_no_half_written_part_is_ever_seen(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, rows=1)
    for n in range(50):
        log.append(row(str(n)))
        for part in parts(tmp_path):
            pq.read_table(part)
    log.close()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".parquet"] * 50


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"log folder .*file/log: .*; give one that can be written"):
        PredictionLog(tmp_path / "file" / "log")
