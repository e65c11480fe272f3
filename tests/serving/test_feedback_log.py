"""What was acknowledged is there, once, whatever happens to the process and the disk."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from higr.data.logs import FEEDBACK
from higr.errors import InputError
from serving import feedback_log
from serving.feedback_log import JOURNAL, FeedbackLog
from serving.schemas import FeedbackEvent
from tests.serving.process import REPOSITORY

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(number: int, **fields: Any) -> FeedbackEvent:
    return FeedbackEvent(
        event_id=f"e{number}", user_id="u", item_id="i", timestamp=NOON.isoformat(), **fields
    )


def add(log: FeedbackLog, events: Sequence[FeedbackEvent]) -> int:
    return asyncio.run(log.add(events))


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for part in sorted(folder.glob("*.parquet")) for row in pq.read_table(part).to_pylist()]


def ids(folder: Path) -> list[str]:
    return sorted(row["event_id"] for row in rows(folder))


def test_events_become_rows_of_the_feedback_log(tmp_path: Path) -> None:
    log = FeedbackLog(tmp_path / "feedback")
    given = event(1, request_id="r", position=3, watch_seconds=2.5, clicked=True, surface="home")
    assert add(log, [given, event(2)]) == 2
    log.close()
    (part,) = (tmp_path / "feedback").glob("*.parquet")
    assert pq.read_schema(part).equals(FEEDBACK)
    first, second = rows(tmp_path / "feedback")
    assert first == {
        **dict.fromkeys(FEEDBACK.names),
        "event_id": "e1",
        "user_id": "u",
        "item_id": "i",
        "timestamp": NOON,
        "request_id": "r",
        "position": 3,
        "watch_seconds": 2.5,
        "clicked": True,
        "surface": "home",
    }
    assert second["clicked"] is None


def test_an_event_that_is_sent_again_is_there_once_even_after_a_restart(tmp_path: Path) -> None:
    log = FeedbackLog(tmp_path)
    assert add(log, [event(1), event(2), event(1)]) == 2
    assert add(log, [event(2), event(3)]) == 1
    log.close()
    log = FeedbackLog(tmp_path)
    assert add(log, [event(1), event(4)]) == 1
    log.close()
    assert ids(tmp_path) == ["e1", "e2", "e3", "e4"]


def test_ids_are_forgotten_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback_log, "REMEMBERED_DAYS", 0.0)
    log = FeedbackLog(tmp_path)
    add(log, [event(1)])
    log._move()
    log._move()
    assert add(log, [event(1)]) == 1
    log.close()


def test_rows_do_not_wait_for_the_end(tmp_path: Path) -> None:
    log = FeedbackLog(tmp_path, seconds=0.05)
    add(log, [event(1)])
    end = time.monotonic() + 30
    while not rows(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.05)
    log.close()


def test_many_rows_are_several_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback_log, "ROWS", 4)
    log = FeedbackLog(tmp_path)
    add(log, [event(number) for number in range(10)])
    log.close()
    assert sorted(pq.read_metadata(part).num_rows for part in tmp_path.glob("*.parquet")) == [2, 4, 4]
    assert len(set(ids(tmp_path))) == 10


def test_a_part_that_could_not_be_written_is_written_later_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[int] = []
    log = FeedbackLog(tmp_path, lambda: failures.append(1))
    with monkeypatch.context() as patched:

        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(feedback_log, "write_table", full)
        add(log, [event(1)])
        with pytest.raises(OSError, match="No space"):
            log._move()
    add(log, [event(2)])
    log.close()
    assert ids(tmp_path) == ["e1", "e2"]


def test_a_full_disk_refuses_all_events_of_a_request(tmp_path: Path) -> None:
    log = FeedbackLog(tmp_path)
    pages = log._journal.execute("pragma page_count").fetchone()[0]
    log._journal.execute(f"pragma max_page_count = {pages + 2}")
    with pytest.raises(OSError, match="full"):
        add(log, [event(number, surface="s" * 128) for number in range(500)])
    log._journal.execute("pragma max_page_count = 1000000")
    assert add(log, [event(number) for number in range(500)]) == 500
    log.close()
    assert len(ids(tmp_path)) == 500


def test_a_folder_is_of_one_process(tmp_path: Path) -> None:
    log = FeedbackLog(tmp_path)
    with pytest.raises(InputError, match="no other process has"):
        FeedbackLog(tmp_path)
    log.close()
    FeedbackLog(tmp_path).close()


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="feedback folder"):
        FeedbackLog(tmp_path / "file" / "folder")


SENDS_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from serving import feedback_log
from tests.serving.test_feedback_log import event
log = feedback_log.FeedbackLog(Path(sys.argv[1]), seconds=0.02)
async def send():
    for number in range(0, 1_000_000, 5):
        await log.add([event(number + n) for n in range(5)])
        print(number + 5, flush=True)
asyncio.run(send())
"""


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(0)
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        with subprocess.Popen(
            [sys.executable, "-c", SENDS_UNTIL_KILLED, str(folder)],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0.05, 0.4))
            process.send_signal(signal.SIGKILL)
            acknowledged = int(process.stdout.read().split()[-1])
        FeedbackLog(folder).close()
        found = ids(folder)
        assert len(set(found)) == len(found)
        assert {f"e{number}" for number in range(acknowledged)} <= set(found)
        assert (folder / JOURNAL).exists()
