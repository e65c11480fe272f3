"""Transformer and predictor as two processes on loopback, as the chart deploys them."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx

from higr.errors import HigrError

START_SECONDS = 120.0
STOP_SECONDS = 30.0


class Serving:
    """Starts both on entry and waits until they are ready; ends both on exit, so that logs are flushed."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.ports = {role: _free_port() for role in ("predictor", "transformer")}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.ports['transformer']}", timeout=60)

    def __enter__(self) -> Self:
        try:
            self._start("predictor")
            self._start(
                "transformer",
                *("--predictor-host", f"127.0.0.1:{self.ports['predictor']}"),
                *("--features", str(self.run / "features")),
                *("--log-dir", str(self.run / "demo-predictions")),
                *("--deadline-ms", "1000"),
            )
            self._wait("predictor", "higr-predictor")
            self._wait("transformer", "higr")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        for role in ("transformer", "predictor"):
            self.stop(role)

    def stop(self, role: str, how: int = signal.SIGTERM) -> None:
        """End one of the two; SIGKILL is the fault the demo injects."""
        process = self.processes.pop(role, None)
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ask(self, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Slates for some users, through the public endpoint."""
        response = self.client.post("/v1/models/higr:predict", json={"instances": instances})
        if response.status_code != 200:
            raise HigrError(f"the endpoint answered {response.status_code}: {response.text[:200]}")
        predictions: list[dict[str, Any]] = response.json()["predictions"]
        return predictions

    def _start(self, role: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "serving", "--role", role, "--bundle", str(self.run / "bundle")]
        with (self.run / f"{role}.log").open("wb") as log:
            self.processes[role] = subprocess.Popen(
                [*command, "--http-port", str(self.ports[role]), *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                # One thread a process: two processes on two cores, without threads in each other's way.
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def _wait(self, role: str, model: str) -> None:
        url = f"http://127.0.0.1:{self.ports[role]}/v2/models/{model}/ready"
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.processes[role].poll() is None:
            try:
                if httpx.get(url).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise HigrError(f"the {role} did not become ready; see {self.run / f'{role}.log'}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
