"""A Redis of a test's own: a real server on a free port of loopback, which can be stopped and hung."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.tools import require

PATIENCE = 60.0
"""Seconds for a start on a busy machine."""


class RedisServer:
    """Starts at once. What it holds is kept in `folder` over `kill` and `start` where `persistent`."""

    def __init__(self, folder: Path, password: str | None = None, persistent: bool = False) -> None:
        self._binary = require("redis-server")
        self._folder, self._password, self._persistent = folder, password, persistent
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        appended = "yes" if self._persistent else "no"
        arguments = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        arguments += ["--save", "", "--appendonly", appended, "--appendfsync", "always"]
        if self._password is not None:
            arguments += ["--requirepass", self._password]
        self._process = subprocess.Popen([self._binary, *arguments], stdout=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while not self._answers():
            assert time.monotonic() < end, "Redis does not start"
            time.sleep(0.05)

    def hang(self) -> None:
        """It keeps its connections and takes new ones, and answers none."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                answer = connection.recv(64)
        except OSError:
            return False
        return answer.startswith((b"+PONG", b"-NOAUTH"))
