"""Runbooks are there, whole, and their commands are ones: shells, kubectl and our own programs take them."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from higr.metrics import METRICS
from tests.monitoring.alerting.test_rules import ALERTS
from tests.tools import REPOSITORY, require

PAGES = sorted((REPOSITORY / "docs" / "runbooks").glob("*.md"))
SECTIONS = ["What it means", "See", "Decide", "Make safe", "Fix", "Verify"]
CLOSED = "http://127.0.0.1:1"
"""Nobody listens there: a program that complains of that has understood its arguments."""


def commands(page: Path) -> list[str]:
    """Lines of its shell blocks, fenced or indented at the left margin."""
    text = page.read_text()
    fenced = [
        line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    indented = [line.strip() for line in text.splitlines() if re.match(r" {4}\S", line)]
    return [line for line in fenced + indented if line]


EVERY = sorted({(page.stem, command) for page in PAGES for command in commands(page)})


def with_program(*programs: str) -> list[tuple[str, str]]:
    """Single commands that begin so, out of the lines of all pages."""
    found = []
    for page, line in EVERY:
        for part in re.split(r" \| | && | -- (?=python)|(?<= )&$", line):
            if part.startswith(programs):
                found.append((page, part.strip()))
    return sorted(set(found))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_whole(page: Path) -> None:
    text = page.read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == SECTIONS
    bodies = dict(zip(headings, re.split(r"^## .*$", text, flags=re.MULTILINE)[1:], strict=True))
    assert all(len(body.split()) > 10 for body in bodies.values())
    assert re.search(r"^```sh$|^ {4}\S", bodies["Make safe"], re.MULTILINE), "no command makes it safe"
    assert bodies["Decide"].count("\n| ") >= 4, "no table to decide by"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_its_alerts_as_loud_as_they_are(page: Path) -> None:
    head, _, _ = page.read_text().partition("## What it means")
    named = dict(re.findall(r"^\| `(Higr\w+)` \| ([a-z ]+) \|", head, re.MULTILINE))
    ours: dict[str, set[str]] = {}
    for rule in ALERTS:
        if rule["annotations"]["runbook_url"].endswith(f"/{page.name}"):
            ours.setdefault(rule["alert"], set()).add(rule["labels"]["severity"])
    assert {name: set(severity.split(" or ")) for name, severity in named.items()} == ours


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_metrics_and_alerts_of_a_page_exist(page: Path) -> None:
    text = page.read_text()
    names = {metric.name for metric in METRICS} | {f"{metric.name}_total" for metric in METRICS}
    alerts = {rule["alert"] for rule in ALERTS}
    assert set(re.findall(r"\bHigr[A-Z]\w+", text)) <= alerts
    for start, group in re.findall(r"\^(higr_)\(?([\w|]*)", text):  # what a grep looks for
        for part in group.split("|"):
            found = start + part
            assert any(name.startswith(found) or found.startswith(name) for name in names), found
    for word in re.findall(r"`(higr_\w+)", text):
        assert word in names or any(name.startswith(word) for name in names), word


@pytest.mark.parametrize(("page", "command"), EVERY)
def test_a_shell_parses_it(page: str, command: str) -> None:
    finished = subprocess.run(["sh", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert not re.search(r"<[a-z ]+>|\.\.\.", command), "nothing is left to fill in"


def _arguments(command: str) -> list[str]:
    places = {"RELEASE": "higr", "NAME": "higr", "NAMESPACE": "models"}
    for name, value in places.items():
        command = command.replace(f"${name}", value)
    return shlex.split(command)


@pytest.mark.parametrize(("page", "command"), with_program("kubectl "))
def test_kubectl_takes_it(page: str, command: str, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
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
        [require("kubectl"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert re.search("refused|ServiceUnavailable|discover Metrics API", finished.stderr), finished.stderr


@pytest.mark.parametrize(("page", "command"), with_program("helm "))
def test_helm_takes_it(page: str, command: str, tmp_path: Path) -> None:
    for tool in ("helm", "helm3"):
        finished = subprocess.run(
            [require(tool), *_arguments(command)[1:]],
            capture_output=True,
            text=True,
            check=False,
            env={"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)},
            timeout=60,
        )
        assert "cluster unreachable" in finished.stderr.lower(), finished.stderr


@pytest.mark.parametrize(("page", "command"), with_program("amtool ", "promtool "))
def test_the_tools_of_prometheus_take_it(page: str, command: str) -> None:
    program, *arguments = shlex.split(re.sub(r"http://localhost:\d+", CLOSED, command))
    finished = subprocess.run(
        [require(program), *arguments], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert finished.returncode == 0 or "refused" in finished.stderr, finished.stderr


@pytest.mark.parametrize(("page", "command"), with_program("python -m "))
def test_our_programs_have_these_options(page: str, command: str) -> None:
    _, _, module, *arguments = shlex.split(command)
    known: Any = _command_of(module)
    if hasattr(known, "commands"):
        name, *arguments = arguments
        known = known.commands[name]
    options = {option for parameter in known.params for option in parameter.opts}
    given = [argument for argument in arguments if argument.startswith("--")]
    assert set(given) <= options
    needed = {p.opts[0] for p in known.params if p.required and p.opts[0].startswith("--")}
    assert needed <= set(given)


@cache
def _command_of(module: str) -> Any:
    argv, sys.argv = sys.argv, sys.argv[:1]  # serving reads it
    try:
        main = __import__(f"{module}.__main__", fromlist=["app"])
    finally:
        sys.argv = argv
    return typer.main.get_command(main.app)


@pytest.mark.parametrize(("page", "command"), with_program("make "))
def test_make_has_the_target(page: str, command: str) -> None:
    finished = subprocess.run(
        ["make", "-n", *shlex.split(command)[1:]], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert finished.returncode == 0, finished.stderr


def _bodies() -> Iterator[tuple[str, str]]:
    for _, command in EVERY:
        if match := re.search(r"localhost:\d+(/v\S+) .*-d '(.*)'", command):
            yield match[1], match[2]


@pytest.mark.parametrize(("path", "body"), sorted(set(_bodies())))
def test_bodies_are_ones_the_endpoint_takes(path: str, body: str) -> None:

    from serving.schemas import FeedbackRequest, PredictRequest, parse

    parse(FeedbackRequest if path == "/v1/feedback" else PredictRequest, json.loads(body))


def test_the_words_of_the_switch_are_its_own() -> None:
    from serving.switch import POSITIONS

    words = {
        word
        for _, command in EVERY
        for word in re.findall(r'"mode":"(\w+)"', command) + re.findall(r"echo (\w+) > \S+switch", command)
    }
    assert words <= set(POSITIONS)
    assert {"auto", "baseline"} <= words
