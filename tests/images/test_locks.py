"""What each image installs: no more than its role needs, and all that its code imports."""

import ast
import functools
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tools import REPOSITORY

ROOMS = {
    "serve": ("serving", "feature_repo"),
    "train": ("higr", "components", "feature_repo"),
    "tools": ("serving", "monitoring", "feature_repo", "pipelines", "components"),
}
"""Rooms whose every import an image must have. `higr` imports lazily what only training needs."""

UNWANTED = {
    "serve": {
        "kfp",
        "kfp-kubernetes",
        "evidently",
        "faiss-cpu",
        "transformers",
        "plotly",
        "grafana-foundation-sdk",
    },
    "train": {"kserve", "evidently", "grafana-foundation-sdk"},
    "tools": {"faiss-cpu", "transformers"},
}


def pins(name: str) -> dict[str, str]:
    text = (REPOSITORY / name).read_text()
    return dict(line.split("==") for line in text.splitlines() if not line.startswith("#"))


def role(name: str) -> dict[str, str]:
    """Everything in the image."""
    return pins("images/locks/torch.txt") | pins(f"images/locks/{name}.txt")


@functools.cache
def imported(room: str) -> frozenset[str]:
    """Top-level modules that any file of a room imports, wherever in it, but ours and Python's own."""
    found = set()
    for path in Path(REPOSITORY / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(str(node.module).partition(".")[0])
    ours = {entry.name for entry in REPOSITORY.iterdir() if entry.is_dir()}
    return frozenset(found - ours - sys.stdlib_module_names)


def test_locks_are_what_the_script_writes(lock: ModuleType) -> None:
    """Fails after a change of dependencies until `python scripts/lock.py` was run."""
    written = {path: text for path, text in lock.locks().items() if path.startswith("images/")}

    assert len(written) == 2 + len(ROOMS)
    assert {path: (REPOSITORY / path).read_text() for path in written} == written


@pytest.mark.parametrize("name", ["build", "torch", *ROOMS])
def test_images_hold_the_versions_that_were_tested(name: str) -> None:
    assert pins(f"images/locks/{name}.txt").items() <= pins("requirements.lock").items()


@pytest.mark.parametrize("name", ROOMS)
def test_torch_has_a_layer_of_its_own(name: str) -> None:
    assert pins("images/locks/torch.txt").keys() & pins(f"images/locks/{name}.txt").keys() == set()


NOT_INSTALLED = {"pyspark"}
"""Half a gigabyte that only `data.engine: spark` needs; docs/pipelines.md says how to add it."""


@pytest.mark.parametrize("name", ROOMS)
def test_what_a_role_does_not_do_is_not_there(name: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    developers = {
        canonicalize_name(Requirement(line).name) for line in project["optional-dependencies"]["dev"]
    }
    used_by_kserve_and_feast = {"websockets", "jsonpatch"}

    assert {"pytest", "ruff", "mypy", "hypothesis"} <= developers
    assert role(name).keys() & (developers - used_by_kserve_and_feast) == set()
    assert role(name).keys() & UNWANTED[name] == set()


@pytest.mark.parametrize(("name", "room"), [(name, room) for name, rooms in ROOMS.items() for room in rooms])
def test_every_import_of_a_role_is_there(name: str, room: str) -> None:
    brought_by = packages_distributions()
    missing = {
        module
        for module in imported(room)
        if not {canonicalize_name(found) for found in brought_by.get(module, ())} & role(name).keys()
    }

    assert "numpy" in imported("higr")
    assert missing <= NOT_INSTALLED
