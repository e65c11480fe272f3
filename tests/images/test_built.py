"""What is in the images that `make test-images` builds with buildah on a base of Debian's packages."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests.images.builder import IMAGES, Builder, Secrets, buildah
from tests.images.podman import USER, Podman
from tests.tools import REPOSITORY

pytestmark = pytest.mark.slow

ROOMS = {
    "serve-cpu": ("serving", "feature_repo"),
    "train": ("higr", "components", "feature_repo", "pipelines"),
    "tools": ("serving", "feature_repo", "monitoring", "components", "pipelines"),
}
ABSENT = {
    "serve-cpu": ("kfp", "evidently", "faiss", "transformers", "pip", "pytest", "mypy"),
    "train": ("kserve", "evidently", "pip", "pytest", "mypy"),
    "tools": ("faiss", "transformers", "pip", "pytest", "mypy"),
}

IMPORT_ALL = """
import importlib, importlib.util, pkgutil, sys

rooms, absent = (words.split(",") for words in sys.argv[1:])
sys.argv = sys.argv[:1]
count = 0
for room in rooms:
    for module in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}."):
        if not module.name.endswith("._int8"):  # ctypes loads it; it is no module
            importlib.import_module(module.name)
            count += 1
print(count, *(name for name in absent if importlib.util.find_spec(name)))
"""


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest, images: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One image's report after another."""
    return {"name": request.param, **images[request.param]}


@pytest.fixture
def files(image: dict[str, Any]) -> Iterator[Path]:
    """The image's file system."""
    container = buildah("from", "--pull=never", image["image"])
    yield Path(buildah("mount", container))
    buildah("rm", container)


def test_it_imports_all_its_role_runs_and_nothing_else(image: dict[str, Any], podman: Podman) -> None:
    rooms, absent = ROOMS[image["name"]], ABSENT[image["name"]]
    ran = podman.run(image["image"], "python", "-c", IMPORT_ALL, ",".join(rooms), ",".join(absent))

    assert ran.returncode == 0, ran.stderr
    count, *there = ran.stdout.splitlines()[-1].split()
    assert there == []
    assert int(count) > 10


def test_it_has_the_kernels_and_the_commands(image: dict[str, Any], podman: Podman) -> None:
    kernels = (
        "from higr.decode.engines import native; print(sorted(native.EXTENSION_SUFFIXES)); native.library()"
    )
    ran = podman.run(image["image"], "python", "-c", kernels)
    helped = podman.run(image["image"], "higr", "--help")
    torchrun = podman.run(image["image"], "torchrun", "--help")

    assert ran.returncode == 0 or "AVX-512" in ran.stderr, ran.stderr
    assert helped.returncode == 0, helped.stderr
    assert "bundle" in helped.stdout
    assert torchrun.returncode == 0, torchrun.stderr


def test_it_is_nobody_on_a_file_system_that_is_read_only(image: dict[str, Any], podman: Podman) -> None:
    script = "id -u; id -g; touch /tmp/mine; touch /opt/higr/theirs; grep CapEff /proc/self/status"
    ran = podman.run(image["image"], "sh", "-c", script)

    assert ran.stdout.split() == [str(USER), str(USER), "CapEff:", "0" * 16]
    assert "/opt/higr/theirs': Read-only file system" in ran.stderr


def test_nothing_of_the_build_is_left_in_it(image: dict[str, Any], files: Path, secrets: Secrets) -> None:
    word = secrets.word
    described = buildah("inspect", "--type", "image", image["image"])
    searched = subprocess.run(
        [
            "grep",
            "--recursive",
            "--fixed-strings",
            "--files-with-matches",
            "--devices=skip",
            word,
            str(files),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert word in secrets.pip_config.read_text()
    assert word in secrets.ca.read_text()
    assert word not in described
    assert "/run/secrets" not in described
    assert (searched.returncode, searched.stdout) == (1, "")
    assert not any((files / "run" / "secrets").glob("*"))
    assert not (files / "etc" / "pip.conf").exists()
    for left in ("usr/bin/gcc", "opt/higr/bin/pip", "root/.cache", "wheels", "layers", "build"):
        assert not (files / left).exists(), left
    assert not list((files / "var" / "lib" / "apt" / "lists").glob("*Packages*"))


def test_no_file_makes_anybody_root_or_is_writable_by_all(image: dict[str, Any], files: Path) -> None:
    special = [str(files), "-xdev", "-type", "f", "-perm", "/6002"]
    found = subprocess.run(["find", *special], check=True, stdout=subprocess.PIPE, text=True)

    assert found.stdout == ""


def test_its_bytecode_is_used(image: dict[str, Any], files: Path) -> None:
    """Layers change times of files: bytecode that is checked by time would be compiled at every start."""
    packages = files / "opt" / "higr" / "lib" / "python3.11" / "site-packages"
    for name in ("torch/__pycache__/__init__", "higr/__pycache__/bundle"):
        (compiled,) = packages.glob(f"{name}.*.pyc")
        header = compiled.read_bytes()[:16]
        assert int.from_bytes(header[4:8], "little") == 0b01  # by hash, unchecked (PEP 552)
        assert b"/layers/" not in compiled.read_bytes()


def test_the_sbom_is_what_is_installed(image: dict[str, Any]) -> None:
    role, version = image["name"].removesuffix("-cpu"), image["image"].rpartition(":")[2]
    locked = {
        tuple(line.split("=="))
        for path in ("torch", role)
        for line in (REPOSITORY / "images" / "locks" / f"{path}.txt").read_text().splitlines()
        if "==" in line
    }
    python = {
        (canonicalize_name(part["name"]), part["version"].split("+")[0])
        for part in packages(image["sbom"], "pkg:pypi/")
        if not any(
            "/_vendor/" in entry["value"] for entry in part["properties"]
        )  # what setuptools brings along
    }
    debian = {part["name"] for part in packages(image["sbom"], "pkg:deb/debian/")}

    assert python == locked | {("higr", version)}
    assert {"libc6", "libgomp1", "libpython3.11-minimal", "openssl"} <= debian
    assert not {"gcc", "python3-venv"} & debian


def packages(sbom: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [part for part in sbom["components"] if part.get("purl", "").startswith(kind)]


def test_images_share_the_layers_of_base_and_torch(images: dict[str, dict[str, Any]]) -> None:
    digests = {name: [layer["digest"] for layer in report["layers"]] for name, report in images.items()}

    assert len({tuple(found[:3]) for found in digests.values()}) == 1
    assert len({found[3] for found in digests.values()}) == len(digests)
    assert len({found[4] for found in digests.values()}) == 1


def test_a_build_without_cache_gives_the_same_bytes(
    builder: Builder, images: dict[str, dict[str, Any]]
) -> None:
    again = builder.build("serve-cpu", "--no-cache")

    assert again["layers"] == images["serve-cpu"]["layers"]
    assert again["sbom"] == images["serve-cpu"]["sbom"]


def test_a_torch_of_the_wrong_kind_ends_the_build(
    builder: Builder, images: dict[str, dict[str, Any]]
) -> None:
    refused = builder.run("serve-gpu")

    assert refused.returncode == 1
    assert "TORCH_BUILD is 'cuda', but pip found torch 2." in refused.stdout + refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("error: higr/serve-gpu:")
