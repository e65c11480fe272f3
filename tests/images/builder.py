"""Building images as a person would, with credentials that must not be found in them."""

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tools import REPOSITORY

IMAGES: dict[str, tuple[str, ...]] = {"serve-cpu": (), "train": ("--torch", "cpu"), "tools": ()}
"""What is built, with which options. serve-gpu differs from serve-cpu in torch alone (test_build.py)."""


@dataclass(frozen=True)
class Secrets:
    """This machine's pip settings and certificates, each with a word in it that no image may hold."""

    pip_config: Path
    ca: Path
    word: str

    @classmethod
    def of_this_machine(cls, folder: Path) -> "Secrets":
        word = f"secret-{uuid.uuid4().hex}"
        lines = ["[global]", f"# {word}", "cert = /run/secrets/ca", "timeout = 180"]
        if index := os.environ.get("PIP_INDEX_URL"):
            lines.append(f"index-url = {index}")
        config, ca = folder / "pip.conf", folder / "ca.pem"
        config.write_text("\n".join(lines) + "\n")
        certificates = os.environ.get("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt")
        ca.write_text(f"{Path(certificates).read_text()}\n# {word}\n")
        return cls(config, ca, word)


@dataclass(frozen=True)
class Builder:
    """Calls images/build.py; what it writes goes to `out`."""

    base: str
    secrets: Secrets
    out: Path

    def run(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            str(REPOSITORY / "images" / "build.py"),
            name,
            "--base",
            self.base,
            *options,
        ]
        command += ["--pip-config", str(self.secrets.pip_config), "--ca", str(self.secrets.ca)]
        if wheels := os.environ.get("PIP_FIND_LINKS"):
            command += ["--wheels", wheels]
        command += ["--out", str(self.out)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600"}  # whatever is committed meanwhile
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def build(self, name: str, *options: str) -> dict[str, Any]:
        """The report: image, bytes, layers, and the SBOM as `sbom`."""
        built = self.run(name, *options)
        assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
        report: dict[str, Any] = json.loads((self.out / f"{name}.json").read_text())
        return {**report, "sbom": json.loads((self.out / f"{name}.cdx.json").read_text())}


def buildah(*arguments: str) -> str:
    """Its standard output."""
    called = subprocess.run(["buildah", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return called.stdout.strip()


def show(line: str) -> None:
    """Figures for docs/images.md; `make test-images` lets them through."""
    print(line, flush=True)  # noqa: T201
