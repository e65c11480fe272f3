"""Runbooks are there, whole, and their commands are ones: shells, kubectl and our own programs take them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from higr.metrics import METRICS
from tests.monitoring.alerting.test_rules import ALERTS
from tests.page_commands import (
    every,
    helm_takes,
    kubectl_takes,
    make_has,
    our_program_takes,
    prometheus_takes,
    shell_parses,
    with_program,
)
from tests.tools import REPOSITORY

PAGES = sorted((REPOSITORY / "docs" / "runbooks").glob("*.md"))
SECTIONS = ["What it means", "See", "Decide", "Make safe", "Fix", "Verify"]
EVERY = every(PAGES)


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
    shell_parses(command)
    assert not re.search(r"<[a-z ]+>|\.\.\.", command), "nothing is left to fill in"


@pytest.mark.parametrize(("page", "command"), with_program(EVERY, "kubectl "))
def test_kubectl_takes_it(page: str, command: str, tmp_path: Path) -> None:
    kubectl_takes(command, tmp_path)


@pytest.mark.parametrize(("page", "command"), with_program(EVERY, "helm "))
def test_helm_takes_it(page: str, command: str, tmp_path: Path) -> None:
    helm_takes(command, tmp_path)


@pytest.mark.parametrize(("page", "command"), with_program(EVERY, "amtool ", "promtool "))
def test_the_tools_of_prometheus_take_it(page: str, command: str) -> None:
    prometheus_takes(command)


@pytest.mark.parametrize(("page", "command"), with_program(EVERY, "python -m "))
def test_our_programs_have_these_options(page: str, command: str) -> None:
    our_program_takes(command)


@pytest.mark.parametrize(("page", "command"), with_program(EVERY, "make "))
def test_make_has_the_target(page: str, command: str) -> None:
    make_has(command)


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
