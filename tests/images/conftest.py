"""The project's scripts as modules; images built once a session, by `make test-images` alone."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.images.builder import IMAGES, Builder, Secrets, show
from tests.images.podman import Podman
from tests.tools import REPOSITORY, require


def _script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def build() -> ModuleType:
    """images/build.py"""
    return _script(REPOSITORY / "images" / "build.py")


@pytest.fixture(scope="session")
def lock() -> ModuleType:
    """scripts/lock.py"""
    return _script(REPOSITORY / "scripts" / "lock.py")


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    return Secrets.of_this_machine(tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="session")
def asked_for() -> None:
    if "HIGR_TEST_IMAGES" not in os.environ:
        pytest.skip("builds images: run make test-images")


@pytest.fixture(scope="session")
def builder(asked_for: None, secrets: Secrets, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    for tool in ("buildah", "mmdebstrap"):
        require(tool)
    base = subprocess.run(
        ["sh", str(REPOSITORY / "images" / "base.sh")], check=True, stdout=subprocess.PIPE, text=True
    )
    return Builder(base.stdout.strip(), secrets, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="session")
def images(builder: Builder) -> dict[str, dict[str, Any]]:
    """The report of each image."""
    found = {}
    for name, options in IMAGES.items():
        began = time.monotonic()
        found[name] = builder.build(name, *options)
        show(f"{name}: {found[name]['bytes'] / 1e6:.0f} MB, built in {time.monotonic() - began:.0f} s")
        for layer in found[name]["layers"]:
            show(f"  {layer['bytes'] / 1e6:7.1f} MB  {layer['digest'][7:19]}  {layer['step'][:72]}")
    return found


@pytest.fixture(scope="session")
def podman(asked_for: None, tmp_path_factory: pytest.TempPathFactory) -> Podman:
    return Podman(require("podman"), tmp_path_factory.mktemp("podman"))
