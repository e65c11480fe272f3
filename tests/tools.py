"""Tools and folders that tests need and a checkout does not hold."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from higr.decode.engines.native import library
from higr.errors import EngineError

REPOSITORY = Path(__file__).resolve().parent.parent
TOOLS = REPOSITORY / ".tools" / "bin"
PATH = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
SHARED = REPOSITORY.parent / "shared"

# Name: where it is looked for, and how it gets there.
PLACES: dict[str, tuple[Path, str]] = {
    "helm": (TOOLS / "helm", "run make system-deps"),
    "helm3": (TOOLS / "helm3", "run make system-deps"),
    "kubectl": (TOOLS / "kubectl", "run make system-deps"),
    "chromium": (Path(shutil.which("chromium") or "chromium"), "run make system-deps"),
    "prometheus": (Path(shutil.which("prometheus") or "prometheus"), "run make system-deps"),
    "promtool": (Path(shutil.which("promtool") or "promtool"), "run make system-deps"),
    "alertmanager": (
        Path(shutil.which("prometheus-alertmanager") or "prometheus-alertmanager"),
        "run make system-deps",
    ),
    "amtool": (Path(shutil.which("amtool") or "amtool"), "run make system-deps"),
    "pushgateway": (
        Path(shutil.which("prometheus-pushgateway") or "prometheus-pushgateway"),
        "run make system-deps",
    ),
    "redis-server": (Path(shutil.which("redis-server") or "redis-server"), "run make system-deps"),
    "weed": (Path(sys.executable).parent / "weed", "run make setup"),
    "hadolint": (Path(shutil.which("hadolint", path=PATH) or "hadolint"), "run make setup"),
    "buildah": (Path(shutil.which("buildah") or "buildah"), "run make image-deps"),
    "podman": (Path(shutil.which("podman") or "podman"), "run make image-deps"),
    "mmdebstrap": (Path(shutil.which("mmdebstrap") or "mmdebstrap"), "run make image-deps"),
    "kube-tools": (SHARED / "tools" / "crd_schema.py", "the contract tools lie beside the repository"),
    "crds": (SHARED / "schemas", "the platform's CRDs lie beside the repository"),
    "data": (SHARED / "data", "the real logs lie beside the repository"),
}


def require(name: str) -> Path:
    """Path of a tool or folder; a test that needs a missing one is skipped, saying what is missing.

    With the environment variable CI=true it fails: the main job must not go blind.
    """
    path, remedy = PLACES[name]
    if not path.exists():
        _missing(f"{name} is not at {path}: {remedy}")
    return path


def require_int8_kernels() -> None:
    """For tests of engine `cpu`. A processor that cannot run it skips them in CI, too."""
    try:
        library()
    except EngineError as error:
        if "processor" in str(error):
            pytest.skip(str(error))
        _missing(str(error))


def require_spark(*modules: str) -> None:
    """For tests that start a local Spark: pyspark, what else it is to import, and a Java."""
    for name in ("pyspark", *modules):
        if importlib.util.find_spec(name) is None:
            _missing(f"{name} is not installed: run make setup")
    if shutil.which("java") is None:
        _missing("java is not there: run make system-deps")


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
