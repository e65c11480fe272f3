"""An S3 of a test's own: a real, authenticated SeaweedFS on free ports of loopback."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import pyarrow.fs as pafs

from tests.tools import require

PATIENCE = 60.0
"""Seconds for a start on a busy machine."""
KEY, SECRET = "a-key", "a-secret-that-is-never-shown"


class S3Server:
    """Starts at once; `environment` is what its clients need. SeaweedFS has a gRPC port 10,000 above each."""

    def __init__(self, folder: Path) -> None:
        self._binary = require("weed")
        self._folder = folder
        (folder / "data").mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        self._s3, self._master, self._volume, self._filer = _free_ports(4)
        self.endpoint = f"http://127.0.0.1:{self._s3}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        arguments = ["server", f"-dir={self._folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        arguments += ["-s3", f"-s3.port={self._s3}", f"-s3.config={self._folder / 's3.json'}"]
        arguments += [f"-master.port={self._master}", f"-volume.port={self._volume}"]
        arguments += [f"-filer.port={self._filer}", "-volume.max=20", "-master.volumeSizeLimitMB=64"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, *arguments], stdout=log, stderr=log, cwd=self._folder
            )

    def make_bucket(self, name: str) -> None:
        """Waits until the server takes what is written; the environment must be `environment`."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                files = pafs.S3FileSystem(
                    endpoint_override=self.endpoint, scheme="http", allow_bucket_creation=True
                )
                files.create_dir(name)
                with files.open_output_stream(f"{name}/.ready") as stream:
                    stream.write(b"1")
                files.delete_file(f"{name}/.ready")
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def hang(self) -> None:
        """It keeps its connections and takes new ones, and answers none."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        assert self._process is not None
        self._process.kill()  # it needs half a minute to end when it is asked to
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


def _free_ports(count: int) -> list[int]:
    """Ports whose neighbours 10,000 above are free, too."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            try:
                above.bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
            if port not in found:
                found.append(port)
    return found
