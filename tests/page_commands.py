"""Commands that pages show, taken by the programs that they name, without a cluster."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import typer
import yaml

from tests.tools import REPOSITORY, require

CLOSED = "http://127.0.0.1:1"
"""Nobody listens there: a program that complains of that has understood its arguments."""
PLACES = {"RELEASE": "higr", "NAME": "higr", "NAMESPACE": "models"}
PIECES = re.compile(r" \| | && | -- (?=python)|(?<= )&$")


def commands(page: Path) -> list[str]:
    """Lines of its shell blocks, fenced or indented at the left margin."""
    text = page.read_text()
    fenced = [
        line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    indented = [line.strip() for line in text.splitlines() if re.match(r" {4}\S", line)]
    return [line for line in fenced + indented if line]


def every(pages: Iterable[Path]) -> list[tuple[str, str]]:
    """(page, command) of all of them."""
    return sorted({(page.stem, command) for page in pages for command in commands(page)})


def with_program(lines: Iterable[tuple[str, str]], *programs: str) -> list[tuple[str, str]]:
    """Single commands that begin so, out of the lines."""
    found = []
    for page, line in lines:
        for part in PIECES.split(line):
            if part.startswith(programs):
                found.append((page, part.strip()))
    return sorted(set(found))


def shell_parses(command: str) -> None:
    finished = subprocess.run(["sh", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def kubectl_takes(command: str, folder: Path) -> None:
    kubeconfig = folder / "config"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": CLOSED}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}],
                "current-context": "c",
            }
        )
    )
    arguments = ["--kubeconfig", str(kubeconfig), *_arguments(command)[1:]]
    finished = subprocess.run(
        [require("kubectl"), *arguments],
        capture_output=True, text=True, check=False, cwd=folder, timeout=60,
    )  # fmt: skip
    assert re.search("refused|ServiceUnavailable|discover Metrics API", finished.stderr), finished.stderr


def helm_takes(command: str, folder: Path) -> None:
    """Helm 4 and 3."""
    for tool in ("helm", "helm3"):
        finished = subprocess.run(
            [require(tool), *_arguments(command)[1:]],
            capture_output=True,
            text=True,
            check=False,
            cwd=REPOSITORY,
            env={"KUBECONFIG": str(folder / "none"), "HOME": str(folder)},
            timeout=60,
        )
        assert "cluster unreachable" in finished.stderr.lower(), finished.stderr


def prometheus_takes(command: str) -> None:
    """promtool and amtool."""
    program, *arguments = shlex.split(re.sub(r"http://localhost:\d+", CLOSED, command))
    finished = subprocess.run(
        [require(program), *arguments], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert finished.returncode == 0 or "refused" in finished.stderr, finished.stderr


def our_program_takes(command: str) -> None:
    """`python -m ROOM ...` or `higr ...` has these commands and options, and is given those it needs."""
    words = shlex.split(command)
    if words[0] == "python":
        known, arguments = _command_of(words[2]), words[3:]
    else:
        known, arguments = _command_of("higr.cli"), words[1:]
    while hasattr(known, "commands"):
        name, *arguments = arguments
        known = known.commands[name]
    options = {option for parameter in known.params for option in parameter.opts}
    given = [argument for argument in arguments if argument.startswith("--")]
    assert set(given) <= options
    needed = {p.opts[0] for p in known.params if p.required and p.opts[0].startswith("--")}
    assert needed <= set(given)


def make_has(command: str) -> None:
    finished = subprocess.run(
        ["make", "-n", *shlex.split(command)[1:]], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert finished.returncode == 0, finished.stderr


def _arguments(command: str) -> list[str]:
    for name, value in PLACES.items():
        command = command.replace(f"${name}", value)
    return shlex.split(command)


@cache
def _command_of(module: str) -> Any:
    argv, sys.argv = sys.argv, sys.argv[:1]  # serving reads it
    try:
        name = module if module.endswith(".cli") else f"{module}.__main__"
        main = __import__(name, fromlist=["app"])
    finally:
        sys.argv = argv
    return typer.main.get_command(main.app)
