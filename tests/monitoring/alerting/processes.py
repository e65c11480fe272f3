"""Prometheus, Alertmanager and Pushgateway as processes on loopback, each ended by its own pid."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.tools import require

PATIENCE = 60.0
"""Seconds for a start, or for what follows from it, on a machine that is busy with other things."""


@dataclass(frozen=True)
class Process:
    address: str
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.address}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(what: str, holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Ask until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


@contextmanager
def _running(command: Sequence[str], folder: Path, name: str, address: str, ready: str) -> Iterator[Process]:
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return httpx.get(f"http://{address}{ready}", trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        eventually(f"{name} answers", answers)
        yield Process(address, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def pushgateway(folder: Path) -> Iterator[Process]:
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(require("pushgateway")),
        f"--web.listen-address={address}",
        f"--persistence.file={folder / 'pushed'}",  # Debian's default is a file for the whole machine
    ]
    with _running(command, folder, "pushgateway", address, "/-/ready") as process:
        yield process


@contextmanager
def prometheus(folder: Path, config: Path) -> Iterator[Process]:
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(require("prometheus")),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
        "--rules.alert.resend-delay=1s",  # the first ones come before it knows where Alertmanager is
    ]
    with _running(command, folder, "prometheus", address, "/-/ready") as process:
        yield process


@contextmanager
def alertmanager(folder: Path, config: Path) -> Iterator[Process]:
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(require("alertmanager")),
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",  # alone
    ]
    with _running(command, folder, "alertmanager", address, "/-/ready") as process:
        yield process
