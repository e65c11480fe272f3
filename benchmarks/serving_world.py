"""What is served in `benchmarks.serving`: a bundle of size `small`, its users' features, and the processes.

The model is untrained: it costs what a trained one does, and its slates are not looked at.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import torch
import yaml

from feature_repo.store import materialise
from higr.baseline.incumbent import Incumbent
from higr.bundle import Bundle, write_bundle
from higr.config import SIZES, RunConfig, load_config
from higr.data.context import HistoryIndex
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.errors import HigrError
from higr.model.higr import HiGR
from higr.model.inputs import ProfileVocabulary
from higr.tokenizer.catalogue import build_catalog
from higr.tokenizer.tokenizer import Tokenizer

START_SECONDS = 120.0
STOP_SECONDS = 30.0
CHANGES = {
    **{f"model.{name}": value for name, value in SIZES["small"].items()},
    "model.history_length": 50,
    "decode.slate_size": 10,
    "tokenizer.codebook_size": 256,
    "tokenizer.epochs": 1,
}


@dataclass(frozen=True)
class World:
    """Attributes:
    folder: everything that was made.
    bundle: of size `small`, slates of ten.
    users: whose features are in the store.
    """

    folder: Path
    bundle: Bundle
    users: tuple[str, ...]
    config: RunConfig

    @property
    def size(self) -> int:
        return self.config.decode.slate_size

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def bundle_of(self, name: str, seed: int) -> Bundle:
        """Another model over the same catalogue, or the same one if it is there."""
        return _bundle(self.folder, name, PreparedData.load(self.data), self.config, seed)

    def store(self, path: Path, online: str | None = None) -> Path:
        """A feature store at `path`; `online` as `materialise` takes it."""
        materialise(self.data, path, self.config.data, online)
        return path


def make_world(folder: Path) -> World:
    """Made once a folder: a run that is repeated finds it."""
    config = load_config("demo", CHANGES)
    if not (folder / "data").is_dir():
        prepare(config.data, config.seed).save(folder / "data")
    data = PreparedData.load(folder / "data")
    bundle = _bundle(folder, "bundle", data, config, config.seed)
    return World(folder, bundle, tuple(data.users["user_id"].to_pylist()), config)


def _bundle(folder: Path, name: str, data: PreparedData, config: RunConfig, seed: int) -> Bundle:
    if (folder / name).is_dir():
        return Bundle.open(folder / name)
    parts = folder / "parts"
    shutil.rmtree(parts, ignore_errors=True)
    contexts = HistoryIndex.build(data.events, data.users, config.data).contexts(data.split("train"))
    Incumbent.fit(data, contexts, config.baseline, config.seed).save(parts / "baseline")
    tokenizer = Tokenizer.fit(data, config.tokenizer, config.seed)
    tokenizer.save(parts / "tokenizer")
    catalog, _ = build_catalog(tokenizer.encode(data.items), tokenizer)
    catalog.save(parts / "catalog.parquet")
    torch.manual_seed(seed)
    profiles = ProfileVocabulary.fit([context.profile for context in contexts])
    model = HiGR(config.model, catalog.depth, catalog.codebook_size, profiles, catalog.tokenizer_id)
    model.save(parts / "model")
    return write_bundle(
        folder / name,
        items=data.items,
        tokenizer=parts / "tokenizer",
        catalog=parts / "catalog.parquet",
        model=parts / "model",
        baseline=parts / "baseline",
        reference={},
        data_fingerprint=data.report["fingerprint"],
        config=config.model_dump(mode="json"),
        metrics={},
    )


class Process:
    """`python -m serving` on a port of loopback that stays its own over a restart."""

    def __init__(
        self, folder: Path, model: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.port, self.model, self._arguments = free_port(), model, list(arguments)
        self._log = folder / f"{model}-{self.port}.log"
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/models/{self.model}:predict"

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    def start(self) -> Self:
        """At once; `wait` until it answers."""
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                [sys.executable, "-m", "serving", *self._arguments, "--http-port", str(self.port)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )
        return self

    def wait(self) -> float:
        """Seconds until it is ready."""
        begun = time.monotonic()
        while time.monotonic() - begun < START_SECONDS and self._running and self._running.poll() is None:
            try:
                answer = httpx.get(
                    f"http://127.0.0.1:{self.port}/v2/models/{self.model}/ready", trust_env=False
                )
                if answer.status_code == 200:
                    return time.monotonic() - begun
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise HigrError(f"serving did not become ready; see {self._log}")

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As a node that goes away does."""
        self.send(signal.SIGKILL)
        assert self._running is not None
        self._running.wait()

    def stop(self) -> int | None:
        """In an orderly way; the exit status, None where it had to be killed."""
        process, self._running = self._running, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def memory_mb(self) -> float:
        """Resident now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise HigrError(f"process {self.pid} is gone")


class Redis:
    """A redis-server of our own that keeps what it holds over a kill."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        self._running = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder),
             "--appendonly", "yes", "--appendfsync", "always"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + STOP_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def send(self, number: int) -> None:
        assert self._running is not None
        self._running.send_signal(number)
        if number == signal.SIGKILL:
            self._running.wait()

    def stop(self) -> None:
        if self._running is not None and self._running.poll() is None:
            self._running.send_signal(signal.SIGCONT)
            self._running.terminate()
            self._running.wait()


def write_config(path: Path, **sections: object) -> Path:
    """A file for `--config`."""
    path.write_text(yaml.safe_dump(sections))
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
