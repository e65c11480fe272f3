"""The chart, rendered by real Helm."""

import functools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.tools import REPOSITORY

CHART = REPOSITORY / "charts" / "higr"
VALUES = Path(__file__).parent / "values"

Document = dict[str, Any]


@dataclass(frozen=True)
class Helm:
    """One Helm binary and what the tests ask of it."""

    binary: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.binary, *arguments], capture_output=True, text=True, check=False)

    def template(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("template", "higr", str(CHART), "--namespace", "models", *arguments)

    def text(self, *arguments: str) -> str:
        """Rendered manifests as text; the arguments are Helm's."""
        return _render(self, arguments)

    def documents(self, *arguments: str) -> list[Document]:
        return [document for document in yaml.safe_load_all(self.text(*arguments)) if document]

    def find(self, kind: str, *arguments: str, name: str | None = None) -> Document:
        """The one document of a kind (and name)."""
        (found,) = (
            document
            for document in self.documents(*arguments)
            if document["kind"] == kind and name in (None, document["metadata"]["name"])
        )
        return found


@functools.cache
def _render(helm: Helm, arguments: tuple[str, ...]) -> str:
    finished = helm.template(*arguments)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def value_sets() -> dict[str, tuple[str, ...]]:
    """Helm arguments of every set of values the chart is rendered with."""
    files = {path.stem: ("--values", str(path)) for path in sorted(VALUES.glob("*.yaml"))}
    return {"default": ()} | files


def set_json(**values: object) -> tuple[str, ...]:
    """Helm arguments for values that keep their JSON types; `__` stands for a dot."""
    pairs = ((name.replace("__", "."), json.dumps(value)) for name, value in values.items())
    return tuple(part for name, value in pairs for part in ("--set-json", f"{name}={value}"))
