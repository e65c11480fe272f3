"""images/Containerfile: linted, and what a linter does not know."""

import re
import subprocess
import tomllib

import pytest

from tests.tools import REPOSITORY, require

CONTAINERFILE = REPOSITORY / "images" / "Containerfile"
TARGETS = ("serve", "train", "tools")


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions of every stage, as (FROM's word or instruction, rest), by the stage's name."""
    text = re.sub(r"(?m)^\s*#.*\n", "", CONTAINERFILE.read_text()).replace("\\\n", " ")
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            _, _, name = rest.partition(" AS ")
            found[name] = current = []
        current.append((instruction, " ".join(rest.split())))
    return found


def shipped(target: str) -> list[tuple[str, str]]:
    """Instructions whose results and history are in the target's image, base first."""
    found = stages()
    base = found[target][0][1].partition(" AS ")[0]
    return ([] if base not in found else shipped(base)) + found[target]


def test_hadolint_finds_nothing() -> None:
    finished = subprocess.run(
        [require("hadolint"), CONTAINERFILE], capture_output=True, text=True, check=False
    )

    assert finished.stdout == ""
    assert finished.returncode == 0


def test_hadolint_would_find_something() -> None:
    finished = subprocess.run(
        [require("hadolint"), "-"],
        input="FROM debian:latest\nRUN cd /tmp\n",
        capture_output=True,
        text=True,
        check=False,
    )

    assert "DL3007" in finished.stdout
    assert finished.returncode == 1


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_user_without_a_name_to_look_up(target: str) -> None:
    """Kubernetes' runAsNonRoot cannot tell whether a user that is a name is root."""
    users = [rest for instruction, rest in shipped(target) if instruction == "USER"]

    assert users == ["10001:10001"]
    assert any("higr:x:10001:10001:" in rest for instruction, rest in shipped(target) if instruction == "RUN")


@pytest.mark.parametrize("target", TARGETS)
def test_no_step_that_sees_credentials_is_shipped(target: str) -> None:
    assert any("type=secret" in rest for steps in stages().values() for _, rest in steps)
    for instruction, rest in shipped(target):
        assert "type=secret" not in rest
        assert instruction != "ARG"
        assert "pip install" not in rest


@pytest.mark.parametrize("target", TARGETS)
def test_layers_come_in_the_order_in_which_they_change(target: str) -> None:
    copied = [rest for instruction, rest in shipped(target) if instruction == "COPY"]

    assert copied == [
        "--from=torch /layers/torch /opt/higr",
        f"--from={target}-dependencies /layers/dependencies /opt/higr",
        "--from=project /layers/project /opt/higr",
    ]


def test_only_the_base_comes_from_elsewhere_and_an_argument_pins_it() -> None:
    found = stages()
    bases = {name: steps[0][1].partition(" AS ")[0] for name, steps in found.items() if name}

    assert {base for base in bases.values() if base not in found} == {"scratch", "${BASE_IMAGE}"}
    assert bases["base"] == "${BASE_IMAGE}"
    assert re.search(r"(?m)^ARG BASE_IMAGE=debian:12-slim$", CONTAINERFILE.read_text())


def test_every_room_that_is_installed_is_copied_and_let_through() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    rooms = {room.rstrip("*") for room in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    copied = {rest.split()[0] for instruction, rest in stages()["project"] if instruction == "COPY"} & rooms
    let_through = {
        line.removeprefix("!")
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }

    assert rooms == copied
    assert rooms <= let_through
    assert {"images/layer.sh", "images/locks"} <= let_through
    assert (REPOSITORY / ".dockerignore").read_text().startswith("*\n")
