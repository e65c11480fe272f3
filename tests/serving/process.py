"""A real `python -m serving` on a free loopback port, ended by its own pid."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 240.0
"""Seconds for a start on a machine that is busy with other things; a quiet one needs six."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """Starts at once; `wait` returns when it answers.

    Args:
        within: a command that runs the one behind it in its own place.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        arguments: Sequence[str],
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        self.port, self.model = port or free_port(), model
        self.log = folder / f"{model}-{self.port}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*within, sys.executable, "-m", "serving", *arguments, "--http-port", str(self.port)],
                cwd=REPOSITORY,
                env={**_environment(), **(environment or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)

    def wait(self) -> Self:
        end = time.monotonic() + PATIENCE
        while not self.ready():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)
        return self

    def ready(self) -> bool:
        try:
            return self.client.get(f"/v2/models/{self.model}/ready").status_code == 200
        except httpx.TransportError:
            return False

    def post(self, body: Any, **kwargs: Any) -> httpx.Response:
        return self.client.post(f"/v1/models/{self.model}:predict", json=body, **kwargs)

    def predict(self, *instances: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self.post({"instances": list(instances)})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["predictions"])

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Samples of our own metrics."""
        return {
            (s.name, frozenset(s.labels.items())): s.value
            for family in text_string_to_metric_families(self.client.get("/metrics").text)
            if family.name.startswith("higr_")
            for s in family.samples
        }

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit status."""
        self.client.close()
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(number)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def _environment() -> dict[str, str]:
    # feast sets it where it is imported, as in this process; no server of ours is started with it.
    own = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
    return {**own, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "TERM": "dumb"}
