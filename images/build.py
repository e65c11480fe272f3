#!/usr/bin/env python3
"""Build one image with buildah, write its SBOM, and say what it weighs.

    python images/build.py serve-cpu --base debian:12-slim@sha256:...

Needs `make image-deps`. Exit status 2: refused before anything was built; 1: the build failed.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
PINNED = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
BUILDAH = "buildah"
LAYER_TIME = 315_532_800
"""1980, of every file and layer. With the commit's time each version would bring torch anew to every node."""

CATALOGUERS = "dpkg-db-cataloger,python-installed-package-cataloger"
"""What is installed. Syft's others take any setup.py and requirements.txt for a package."""


class RefusedError(Exception):
    """Arguments that cannot give an image; the message names the one at fault."""


@dataclass(frozen=True)
class Image:
    """A name of an image: the Containerfile's target, and which build of torch it holds."""

    target: str
    torch: str
    title: str


IMAGES = {
    "serve-cpu": Image("serve", "cpu", "HiGR serving on CPU"),
    "serve-gpu": Image("serve", "cuda", "HiGR serving on GPU"),
    "train": Image("train", "cuda", "HiGR pipeline stages and training"),
    "tools": Image("tools", "cpu", "HiGR monitoring, rollout, features, pipelines and commands"),
}


@dataclass(frozen=True)
class Build:
    """What an image is made of; `epoch` is the time it bears, in seconds since 1970."""

    name: str
    base: str
    torch: str
    torch_index: str
    repository: str
    version: str
    revision: str
    epoch: int
    wheels: Path | None
    pip_config: Path | None
    ca: Path | None
    cache: bool

    @property
    def tag(self) -> str:
        return f"{self.repository}/{self.name}:{self.version}"


def command(build: Build) -> list[str]:
    """The call of buildah. Credentials are mounted while a step runs; no layer or argument has them."""
    image = IMAGES[build.name]
    labels = {
        "title": image.title,
        "version": build.version,
        "revision": build.revision,
        "created": datetime.fromtimestamp(build.epoch, UTC).isoformat(),
        "base.name": build.base.partition("@")[0],
        "base.digest": build.base.partition("@")[2],
    }
    arguments = {"BASE_IMAGE": build.base, "TORCH_BUILD": build.torch, "TORCH_INDEX": build.torch_index}
    secrets = {"pip": build.pip_config, "ca": build.ca}
    return [
        *(BUILDAH, "bud", "--isolation", "chroot", "--timestamp", str(LAYER_TIME), "--identity-label=false"),
        *(("--layers",) if build.cache else ("--no-cache",)),
        *(f"--build-arg={name}={value}" for name, value in arguments.items() if value),
        *(f"--label=org.opencontainers.image.{name}={value}" for name, value in labels.items()),
        *(f"--secret=id={name},src={path}" for name, path in secrets.items() if path is not None),
        *((f"--build-context=wheels={build.wheels}",) if build.wheels is not None else ()),
        *("--target", image.target, "--tag", build.tag, "--file", str(ROOT / "images" / "Containerfile")),
        str(ROOT),
    ]


def layers(tag: str) -> list[dict[str, Any]]:
    """Layers of a built image, base first: digest, bytes and the step that made each."""
    inspected = json.loads(_output(BUILDAH, "inspect", "--type", "image", tag))
    steps = [step["created_by"] for step in inspected["OCIv1"]["history"] if not step.get("empty_layer")]
    manifest = json.loads(inspected["Manifest"])
    return [
        {"digest": layer["digest"], "bytes": layer["size"], "step": " ".join(step.split())}
        for layer, step in zip(manifest["layers"], steps, strict=True)
    ]


def sbom(build: Build, syft: Path) -> dict[str, Any]:
    """What the image holds of Debian and PyPI, as CycloneDX; equal for equal images."""
    with _mounted(build.tag) as root:
        scan = [str(syft), "scan", f"dir:{root}", "--base-path", str(root), "--output", "cyclonedx-json"]
        scan += ["--override-default-catalogers", CATALOGUERS, "--quiet"]
        found: dict[str, Any] = json.loads(
            _output(*scan, SYFT_CHECK_FOR_APP_UPDATE="false", SYFT_FILE_METADATA_SELECTION="none")
        )
    return settled(found, build)


def settled(document: Mapping[str, Any], build: Build) -> dict[str, Any]:
    """A CycloneDX document that names the image and nothing of the moment and machine it was made at."""
    stamp = datetime.fromtimestamp(build.epoch, UTC).isoformat()
    component = {"type": "container", "name": f"{build.repository}/{build.name}", "version": build.version}
    packages = [part for part in document["components"] if part["type"] in {"library", "operating-system"}]
    kept = {name: value for name, value in document.items() if name != "serialNumber"}
    kept["metadata"] = {**document["metadata"], "timestamp": stamp, "component": component}
    kept["components"] = sorted(packages, key=lambda part: (part["name"], part.get("version", "")))
    return kept


def parser() -> argparse.ArgumentParser:
    """What may be said on the command line."""
    made = argparse.ArgumentParser("images/build.py", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("name", choices=sorted(IMAGES))
    made.add_argument("--base", required=True, help="Debian 12 as NAME@sha256:DIGEST")
    made.add_argument("--repository", default="higr", help="what stands before /serve-cpu; default: higr")
    made.add_argument("--torch", choices=("cpu", "cuda"), help="default: cpu, for serve-gpu and train cuda")
    made.add_argument("--torch-index", default="", help="index of torch's wheels of that kind")
    made.add_argument("--wheels", type=Path, help="folder of wheels that no index has")
    made.add_argument("--pip-config", type=Path, help="pip.conf of the build; in no layer")
    made.add_argument("--ca", type=Path, help="certificates of the index, at /run/secrets/ca; in no layer")
    made.add_argument("--no-cache", action="store_true", help="build every step again")
    made.add_argument("--out", type=Path, default=ROOT / "dist" / "images", help="folder of SBOM and sizes")
    return made


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[Build, Path]:
    """What to build, and the folder of what is written about it.

    Raises:
        RefusedError: a base that is not pinned, a missing file, a credential in an argument, no commit.
    """
    given = parser().parse_args(arguments)
    if not PINNED.fullmatch(given.base):
        raise RefusedError(f"--base {given.base}: a tag may change; pin it as NAME@sha256:DIGEST")
    for option, path in (("--wheels", given.wheels), ("--pip-config", given.pip_config), ("--ca", given.ca)):
        if path is not None and not path.exists():
            raise RefusedError(f"{option} {path}: it is not there")
    if urlsplit(given.torch_index).username is not None:
        raise RefusedError(
            "--torch-index has credentials, which would be in the build's history: use --pip-config"
        )
    epoch = environment.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct")
    if not epoch.isdecimal():
        raise RefusedError(f"SOURCE_DATE_EPOCH {epoch}: not a number of seconds since 1970")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    build = Build(
        name=given.name,
        base=given.base,
        torch=given.torch or IMAGES[given.name].torch,
        torch_index=given.torch_index,
        repository=given.repository,
        version=version,
        revision=_git("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"),
        epoch=int(epoch),
        wheels=given.wheels,
        pip_config=given.pip_config,
        ca=given.ca,
        cache=not given.no_cache,
    )
    return build, given.out


def find_syft() -> Path:
    """Raises RefusedError: it is not installed."""
    own = ROOT / ".tools" / "syft" / "bin" / "syft"
    found = own if own.exists() else shutil.which("syft")
    if found is None:
        raise RefusedError("no syft, which writes the SBOM: run make image-deps")
    return Path(found)


@contextmanager
def _mounted(tag: str) -> Iterator[Path]:
    container = _output(BUILDAH, "from", "--pull=never", tag).strip()
    try:
        yield Path(_output(BUILDAH, "mount", container).strip())
    finally:
        _output(BUILDAH, "rm", container)


def _git(*arguments: str) -> str:
    try:
        return _output("git", "-C", str(ROOT), *arguments).strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise RefusedError(f"images name the commit they are of, and git did not tell it ({error})") from None


def _output(*command: str, **environment: str) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ).stdout


def main() -> int:
    try:
        build, out = parse(sys.argv[1:], os.environ)
        syft = find_syft()
        if shutil.which(BUILDAH) is None:
            raise RefusedError("no buildah: run make image-deps")
    except RefusedError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    try:
        subprocess.run(command(build), check=True)
        made = layers(build.tag)
        document = sbom(build, syft)
    except subprocess.CalledProcessError as error:
        called = " ".join(error.cmd[:2])
        sys.stderr.write(f"error: {build.tag}: {called} ended with status {error.returncode}, see above\n")
        return 1
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{build.name}.cdx.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    report = {"image": build.tag, "bytes": sum(layer["bytes"] for layer in made), "layers": made}
    (out / f"{build.name}.json").write_text(json.dumps(report, indent=1) + "\n")
    for layer in made:
        sys.stdout.write(f"{layer['bytes'] / 1e6:8.1f} MB  {layer['digest'][7:19]}  {layer['step'][:80]}\n")
    packages = len(document["components"])
    sys.stdout.write(f"{report['bytes'] / 1e6:8.1f} MB  {build.tag}, {packages} packages in its SBOM\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
