"""Serving needs no privilege, and writes nowhere but to its own folders."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from higr.bundle import Bundle
from tests.serving.process import Server

pytestmark = pytest.mark.slow

NOBODY = 65534
CONFINED = (
    "mount --make-rprivate / && mount --bind {own} {own} && mount -o remount,ro,bind / && "
    'exec {become} env TMPDIR={own} "$0" "$@"'
)
"""`own` is the only place to write to, and the one for temporary files, which torch asks for."""


def become(user: int) -> list[str]:
    """A command that runs the one behind it as this user, with no capability: root is then a user as any."""
    caps = ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *caps]


def reaches_python(user: int) -> bool:
    command = [*become(user), "env", sys.executable, "-c", "import torch"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def outside() -> Iterator[Path]:
    """pytest's own folders are closed to other users."""
    made = Path(tempfile.mkdtemp(prefix="higr-unprivileged-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def test_it_serves_without_privileges_from_a_read_only_file_system(
    bundle: Bundle, store: Path, outside: Path, tmp_path: Path
) -> None:
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        pytest.skip("only root can give up being root; unshare, setpriv and mount are needed (util-linux)")
    user = NOBODY if reaches_python(NOBODY) else 0  # an interpreter may lie in root's home
    shutil.copytree(bundle.path, outside / "bundle")
    shutil.copytree(store, outside / "store")
    own = outside / "own"
    own.mkdir()
    os.chown(own, user, user)
    arguments = ["--bundle", str(outside / "bundle"), "--features", str(outside / "store")]
    arguments += ["--log-dir", str(own / "log"), "--feedback-dir", str(own / "feedback")]
    within = ["unshare", "--mount", "sh", "-c", CONFINED.format(own=own, become=" ".join(become(user)))]
    server = Server(tmp_path, "higr", [*arguments, "--deadline-ms", "4000"], within=within)
    try:
        server.wait()
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert f"Uid:\t{user}\t{user}" in status
        assert "CapEff:\t0000000000000000" in status
        (prediction,) = server.predict({"user_id": "u", "request_id": "r"})
        assert prediction["source"] == "higr"
        event = {"event_id": "e", "user_id": "u", "item_id": "v", "timestamp": "2026-01-01T00:00:00Z"}
        answer = server.client.post("/v1/feedback", json={"events": [event]})
        assert answer.json() == {"accepted": 1, "repeated": 0}
    finally:
        assert server.stop() == 0
    (part,) = (own / "log").glob("*.parquet")
    assert pq.read_table(part)["request_id"].to_pylist() == ["r"]
    assert list((own / "feedback").glob("*.parquet"))
    log = server.log.read_text()
    assert "Permission denied" not in log
    assert "Read-only file system" not in log
