"""Rows reach the disk whatever it does, and what does not is counted."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from higr.data.logs import ADDED, PREDICTIONS
from higr.errors import InputError
from serving import prediction_log
from serving.prediction_log import PredictionLog
from serving.row_journal import RowJournal
from tests.serving.process import REPOSITORY


def row(request_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "timestamp": datetime(2026, 1, 1, 12, 30, 0, 250_000, tzinfo=UTC),
        "user_id": "ü\n\r\u2028",
        "source": "higr",
        "fallback_reason": None,
        "model_version": "v",
        "item_ids": ["a", "b"],
        "scores": [1.0, 0.5],
        "semantic_ids": [[1, 2, 3], [4, 5, 6]],
        "history_length": 3,
        "degraded": False,
        "latency_ms": 1.5,
        **fields,
    }


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def ids(folder: Path) -> list[str]:
    return [value for part in parts(folder) for value in pq.read_table(part)["request_id"].to_pylist()]


def until(done: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class Broken:
    """The folder is gone, and a file stands where it was, until it is mended."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.aside = folder, folder.with_name("aside")
        folder.rename(self.aside)
        folder.write_text("a file where the folder was")

    def mend(self) -> None:
        self.folder.unlink()
        self.aside.rename(self.folder)


@pytest.fixture
def counted() -> dict[str, int]:
    return {"failures": 0, "dropped": 0}


@pytest.fixture
def make(
    tmp_path: Path, counted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., PredictionLog]:
    """A log in tmp_path/log that tries again soon and counts."""
    monkeypatch.setattr(prediction_log, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(prediction_log, "LONGEST_PAUSE", 0.05)

    def add(what: str, times: int = 1) -> None:
        counted[what] += times

    def made(**fields: Any) -> PredictionLog:
        return PredictionLog(
            tmp_path / "log",
            on_failure=lambda: add("failures"),
            on_drop=lambda rows: add("dropped", rows),
            **fields,
        )

    return made


def test_parts_have_the_schema_and_every_row_in_order(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "deep" / "log", rows=3, seconds=60)
    for n in range(7):
        log.append(row(str(n)))
    log.close()
    folder = tmp_path / "deep" / "log"
    assert [pq.read_table(part).num_rows for part in parts(folder)] == [3, 3, 1]
    assert ids(folder) == [str(n) for n in range(7)]
    assert pq.read_schema(parts(folder)[0]).equals(PREDICTIONS)
    assert len(list(folder.iterdir())) == 3  # nothing else is left


def test_a_row_comes_back_as_it_was(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    given = row("r", propensities=[1.0, 0.25], surface="home", context_digest="00ff", features_ms=0.5)
    log.append(given)
    log.append(row("s"))
    log.close()
    first, second = pq.read_table(parts(tmp_path)[0]).to_pylist()
    assert first == {**dict.fromkeys(ADDED), **given}
    assert {name: second[name] for name in ADDED} == dict.fromkeys(ADDED)


def test_the_oldest_row_waits_no_longer_than_asked(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, rows=1000, seconds=0.05)
    log.append(row("a"))
    until(lambda: ids(tmp_path) == ["a"])
    log.close()
    log.close()  # twice is as good as once


def test_a_part_that_cannot_be_written_is_written_when_the_disk_is_back(
    tmp_path: Path, make: Callable[..., PredictionLog], counted: dict[str, int]
) -> None:
    log = make(rows=2, seconds=0.01)
    broken = Broken(tmp_path / "log")
    for n in range(5):
        log.append(row(str(n)))
    until(lambda: counted["failures"] >= 3)
    broken.mend()
    until(lambda: len(ids(tmp_path / "log")) == 5)
    log.append(row("5"))
    log.close()
    assert ids(tmp_path / "log") == [str(n) for n in range(6)]
    assert counted["dropped"] == 0


def test_what_is_too_much_while_the_disk_is_away_is_counted_in_rows(
    tmp_path: Path, make: Callable[..., PredictionLog], counted: dict[str, int]
) -> None:
    log = make(rows=10, waiting=20)
    broken = Broken(tmp_path / "log")
    for n in range(10):
        log.append(row(str(n)))
    until(lambda: len(log._held) == 10)
    for n in range(10, 100):
        log.append(row(str(n)))
    assert counted["dropped"] == 70
    broken.mend()
    log.close()
    assert ids(tmp_path / "log") == [str(n) for n in range(30)]
    assert counted["dropped"] == 70


def test_a_log_that_ends_while_the_disk_is_away_counts_what_it_loses(
    tmp_path: Path, make: Callable[..., PredictionLog], counted: dict[str, int]
) -> None:
    log = make(rows=4, waiting=20)
    Broken(tmp_path / "log")
    for n in range(17):
        log.append(row(str(n)))
    log.close()
    log.append(row("after the end"))
    assert counted["dropped"] == 18


def test_a_journal_that_cannot_be_written_costs_no_row(
    tmp_path: Path,
    make: Callable[..., PredictionLog],
    counted: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(RowJournal, "write", full)
        log = make(seconds=0.05)
        log.append(row("a"))
        until(lambda: ids(tmp_path / "log") == ["a"])
    log.append(row("b"))
    log.close()
    assert ids(tmp_path / "log") == ["a", "b"]
    assert counted["failures"] >= 1
    assert counted["dropped"] == 0


def test_a_disk_that_hangs_does_not_hold_up_the_end(
    make: Callable[..., PredictionLog], counted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_log, "CLOSING_SECONDS", 0.05)
    asleep, entered = threading.Event(), threading.Event()

    def hangs(*_: object) -> None:
        entered.set()
        asleep.wait(30)

    with monkeypatch.context() as patched:
        patched.setattr(RowJournal, "write", hangs)
        log = make()
        log.append(row("a"))
        assert entered.wait(30)
        for n in range(5):
            log.append(row(str(n)))
        log.close()
        assert not asleep.is_set()
        assert counted["dropped"] == 5  # the one that is being written may still arrive
        asleep.set()
        log._thread.join()


def test_one_odd_row_takes_no_other_with_it(
    tmp_path: Path, make: Callable[..., PredictionLog], counted: dict[str, int]
) -> None:
    log = make()
    log.append(row("a"))
    log.append(row("b", user_id="\ud800"))  # not a text that can be written
    log.append(row("c", history_length="three"))  # not of the column's type
    log.append(row("d"))
    log.close()
    assert ids(tmp_path / "log") == ["a", "d"]
    assert counted["dropped"] == 2


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


def test_parts_older_than_asked_are_removed_and_no_others(tmp_path: Path) -> None:
    names = {
        "part-1-a-0.parquet": 10.0,
        "part-2-a-1.parquet": 1.0,
        ".part-3-a-2.parquet.xyz": 3.0,
        "mine": 99.0,
    }
    for name, days in names.items():
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - days * 86_400,) * 2)
    log = PredictionLog(tmp_path, keep_days=7)
    log.close()
    assert {path.name for path in tmp_path.iterdir()} == {"part-2-a-1.parquet", "mine"}


APPENDS_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from serving.prediction_log import PredictionLog
from tests.serving.test_prediction_log import row
log = PredictionLog(Path(sys.argv[1]), rows=int(sys.argv[2]))
for number in range(1_000_000):
    log.append(row(str(number)))
    while not number and not log._journaled and log._parts == 1:
        time.sleep(0.001)
    print(number, flush=True)
    time.sleep(0.0005)
"""


@pytest.mark.slow
@pytest.mark.parametrize("rows", [7, 20_000], ids=["many parts", "no part yet"])
def test_a_kill_costs_the_last_rows_at_most(tmp_path: Path, rows: int) -> None:
    chance, appended = random.Random(rows), []
    for _ in range(3):  # each process finds what the one before it left, in the same folder
        with subprocess.Popen(
            [sys.executable, "-c", APPENDS_UNTIL_KILLED, str(tmp_path), str(rows)],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0.1, 0.5))
            process.send_signal(signal.SIGKILL)
            appended.append(int(process.stdout.read().split()[-1]) + 1)
    log = PredictionLog(tmp_path)
    assert list(tmp_path.glob(".part-*.rows")) == []
    log.close()
    found = [
        [int(number) for number in pq.read_table(part)["request_id"].to_pylist()] for part in parts(tmp_path)
    ]
    by_process: dict[str, list[int]] = {}
    for part, numbers in zip(parts(tmp_path), found, strict=True):
        by_process.setdefault(part.name.split("-")[2], []).extend(numbers)
    assert len(by_process) == 3
    for count, numbers in zip(appended, by_process.values(), strict=True):
        assert numbers == list(range(len(numbers)))  # none twice, none in between
        assert 0 < len(numbers) <= count + 1
