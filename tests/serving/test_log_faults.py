"""Logs in real trouble: a full disk, a process that is killed, a receiver and a folder that are gone."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from higr.bundle import Bundle
from serving import prediction_log
from serving.feedback_log import FeedbackLog
from serving.prediction_log import PredictionLog
from tests.serving.process import Server, free_port
from tests.serving.test_cloud_events import Receiver
from tests.serving.test_feedback_log import add, event
from tests.serving.test_prediction_log import row, until


def start(folder: Path, bundle: Bundle, port: int) -> Server:
    (folder / "serving.yaml").write_text(
        f"logs: {{cloudevents_url: 'http://127.0.0.1:{port}/in', cloudevents_mode: batch}}"
    )
    where = {"bundle": bundle.path, "config": folder / "serving.yaml"}
    where |= {"log-dir": folder / "log", "feedback-dir": folder / "feedback"}
    options = [text for name, path in where.items() for text in (f"--{name}", str(path))]
    return Server(folder, "higr", [*options, "--deadline-ms", "20000"]).wait()


class Disk:
    """256 KiB that can be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            try:
                while ballast.write(b"x" * 512):
                    pass
            except OSError:
                return

    def empty(self) -> None:
        (self.folder / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield Disk(folder)
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_no_prediction(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(prediction_log, "FIRST_PAUSE", 0.01)
    counts = {"failures": 0, "dropped": 0}
    log = PredictionLog(
        disk.folder / "log",
        rows=100,
        seconds=0.05,
        on_failure=lambda: counts.__setitem__("failures", counts["failures"] + 1),
        on_drop=lambda rows: counts.__setitem__("dropped", counts["dropped"] + rows),
    )
    log.append(row("0"))
    until(lambda: len(logged(disk.folder / "log", "request_id")) == 1)
    disk.fill()
    for number in range(1, 250):
        log.append(row(str(number)))
    until(lambda: counts["failures"] >= 3)
    disk.empty()
    log.close()
    assert logged(disk.folder / "log", "request_id") == sorted(str(number) for number in range(250))
    assert counts["dropped"] == 0
    assert [path.name for path in (disk.folder / "log").glob(".*")] == []


def test_a_full_disk_takes_no_feedback_that_it_could_lose(disk: Disk) -> None:
    log = FeedbackLog(disk.folder / "feedback", seconds=60)
    assert add(log, [event(0)]) == 1
    disk.fill()
    with pytest.raises(OSError, match="feedback journal"):
        add(log, [event(number, surface="s" * 128) for number in range(1, 500)])
    disk.empty()
    assert add(log, [event(number) for number in range(1, 20)]) == 19
    log.close()
    assert logged(disk.folder / "feedback", "event_id") == sorted(f"e{number}" for number in range(20))


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for server in started:
        server.stop()


def ask(server: Server, names: list[str]) -> None:
    for name in names:
        (answer,) = server.predict({"user_id": "u", "request_id": name})
        assert answer["items"]


def tell(server: Server, name: str) -> None:
    sent: dict[str, Any] = {"event_id": name, "user_id": "u", "item_id": "v0000001", "request_id": name}
    body = {"events": [{**sent, "timestamp": "2026-03-01T12:00:00Z"}]}
    assert server.client.post("/v1/feedback", json=body).status_code == 200


def logged(folder: Path, column: str) -> list[str]:
    return sorted(
        name for part in folder.glob("*.parquet") for name in pq.read_table(part)[column].to_pylist()
    )


def sample(server: Server, name: str, sink: str) -> float:
    return server.metrics()[(name, frozenset({("sink", sink)}))]


@pytest.mark.slow
def test_a_receiver_that_is_down_and_a_server_that_is_killed(
    tmp_path: Path, bundle: Bundle, servers: list[Server]
) -> None:
    port = free_port()
    server = start(tmp_path, bundle, port)
    servers.append(server)
    first = [f"first-{n}" for n in range(20)]
    ask(server, first)
    tell(server, first[0])
    until(lambda: sample(server, "higr_log_failures_total", "cloudevents") > 0)
    receiver = Receiver(port=port)
    until(lambda: sorted(receiver.ids()) == sorted([*first, first[0]]))
    receiver.close()
    assert sample(server, "higr_log_dropped_rows_total", "cloudevents") == 0

    (journal,) = (tmp_path / "log").glob(".part-*.rows")
    assert journal.read_bytes().count(b"\n") == 20
    assert logged(tmp_path / "log", "request_id") == []
    server.process.kill()
    server.process.wait()

    again = start(tmp_path, bundle, port)
    servers.append(again)
    until(lambda: logged(tmp_path / "log", "request_id") == sorted(first))
    ask(again, ["second"])
    assert again.stop() == 0
    assert logged(tmp_path / "log", "request_id") == sorted([*first, "second"])
    assert logged(tmp_path / "feedback", "event_id") == [first[0]]
    assert [path.name for path in (tmp_path / "log").glob(".*")] == []


@pytest.mark.slow
def test_a_log_folder_that_goes_away_costs_nobody_an_answer(
    tmp_path: Path, bundle: Bundle, servers: list[Server]
) -> None:
    server = start(tmp_path, bundle, free_port())
    servers.append(server)
    ask(server, ["before"])
    (tmp_path / "log").rename(tmp_path / "aside")
    (tmp_path / "log").write_text("a file where the folder was")
    # The journal of the first part is open still; the end of the process is when a part has to be written.
    ask(server, ["meanwhile"])
    (tmp_path / "log").unlink()
    (tmp_path / "aside").rename(tmp_path / "log")
    assert server.stop() == 0
    assert logged(tmp_path / "log", "request_id") == ["before", "meanwhile"]
