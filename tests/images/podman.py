"""Podman on a machine without systemd, without cgroups to delegate, and without the right to raise limits."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.charts.rendering import Document

SETTINGS = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""

KEEP_LIMITS = f"""#!{sys.executable}
import json
import sys

container = json.load(sys.stdin)
container["process"]["rlimits"] = []
json.dump(container, sys.stdout)
"""
"""Podman gives root's containers a million open files; raising a limit needs a privilege that CI may lack."""

USER = 10001
"""Of every image."""

CONFINED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host")
"""As the chart's security context has it."""


class Podman:
    """Runs containers and rendered manifests; `folder` takes its settings."""

    def __init__(self, binary: Path, folder: Path) -> None:
        hook = folder / "keep-limits"
        hook.write_text(KEEP_LIMITS)
        hook.chmod(0o755)
        hooks = folder / "hooks"
        hooks.mkdir()
        (hooks / "keep-limits.json").write_text(
            json.dumps(
                {
                    "version": "1.0.0",
                    "hook": {"path": str(hook)},
                    "when": {"always": True},
                    "stages": ["precreate"],
                }
            )
        )
        settings = folder / "containers.conf"
        settings.write_text(SETTINGS)
        self._command = (str(binary), "--hooks-dir", str(hooks))
        self._environment = {**os.environ, "CONTAINERS_CONF": str(settings)}
        self._folder = folder

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )

    def run(self, image: str, *command: str) -> subprocess.CompletedProcess[str]:
        """One command in a confined container, in the place of the image's own."""
        entry, *arguments = command
        return self.call("run", "--rm", *CONFINED, f"--entrypoint={entry}", image, *arguments)

    @contextmanager
    def playing(self, documents: Sequence[Document]) -> Iterator[None]:
        """What manifests describe runs while the block does, and is gone after it."""
        path = self._folder / "play.yaml"
        path.write_text(yaml.safe_dump_all(documents, sort_keys=False))
        try:
            played = self.call("kube", "play", "--network", "host", str(path))
            assert played.returncode == 0, played.stderr
            yield
        finally:
            self.call("kube", "down", str(path))
            # Podman would give the next pods the old content.
            maps = [found["metadata"]["name"] for found in documents if found["kind"] == "ConfigMap"]
            self.call("volume", "rm", "--force", *maps)

    def pid(self, container: str) -> int:
        inspected = self.call("inspect", "--format", "{{.State.Pid}}", container)
        assert inspected.returncode == 0, inspected.stderr
        return int(inspected.stdout)

    def logs(self, container: str) -> str:
        printed = self.call("logs", container)
        return printed.stdout + printed.stderr
