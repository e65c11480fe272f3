"""What images/build.py asks of buildah, and what it refuses before anything is built."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.tools import REPOSITORY

DIGEST = "sha256:" + "0123456789abcdef" * 4
BASE = f"debian:12-slim@{DIGEST}"


def parsed(build: ModuleType, *arguments: str, **environment: str) -> Any:
    made, _ = build.parse(arguments, {"SOURCE_DATE_EPOCH": "86400", **environment})
    return made


def options(command: list[str], name: str) -> dict[str, str]:
    """Values of a repeated `--name=KEY=VALUE`."""
    given = (word.removeprefix(f"--{name}=") for word in command if word.startswith(f"--{name}="))
    return dict(pair.split("=", 1) for pair in given)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (("serve-cpu", "--base", "debian:12-slim"), {}, "--base debian:12-slim: a tag may change"),
        (("serve-cpu", "--base", "debian@sha256:abc"), {}, "--base debian@sha256:abc: a tag may change"),
        (("tools", "--base", BASE, "--wheels", "/not/there"), {}, "--wheels /not/there: it is not there"),
        (("tools", "--base", BASE, "--pip-config", "/not/there"), {}, "--pip-config /not/there"),
        (("tools", "--base", BASE, "--ca", "/not/there"), {}, "--ca /not/there"),
        (
            ("tools", "--base", BASE, "--torch-index", "https://me:pw@x.example.org"),
            {},
            "--torch-index has cred",
        ),
        (("tools", "--base", BASE), {"SOURCE_DATE_EPOCH": "now"}, "SOURCE_DATE_EPOCH now: not a number"),
    ],
)
def test_refused(
    build: ModuleType, arguments: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(build.RefusedError) as refused:
        parsed(build, *arguments, **environment)

    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "arguments", [("serve", "--base", BASE), ("tools", "--base", "debian:12"), ("tools",)]
)
def test_the_command_refuses_in_one_line_and_status_2(arguments: tuple[str, ...]) -> None:
    script = [sys.executable, REPOSITORY / "images" / "build.py", *arguments]
    finished = subprocess.run(script, capture_output=True, text=True, check=False)

    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr
    assert "error: " in finished.stderr.splitlines()[-1]


def test_credentials_are_mounted_and_nothing_else_of_them_is_passed(
    build: ModuleType, tmp_path: Path
) -> None:
    config, ca = tmp_path / "pip.conf", tmp_path / "ca.pem"
    for path in (config, ca):
        path.write_text("secret")
    command = build.command(
        parsed(build, "train", "--base", BASE, "--pip-config", str(config), "--ca", str(ca))
    )

    mounted = [word for word in command if word.startswith("--secret=")]
    assert mounted == [f"--secret=id=pip,src={config}", f"--secret=id=ca,src={ca}"]
    assert not any(str(tmp_path) in word for word in command if word not in mounted)
    assert options(command, "build-arg") == {"BASE_IMAGE": BASE, "TORCH_BUILD": "cuda"}


def test_labels_say_what_the_image_is_and_where_it_comes_from(build: ModuleType) -> None:
    made = parsed(build, "tools", "--base", BASE)
    prefix = "org.opencontainers.image."
    labels = {
        name.removeprefix(prefix): value for name, value in options(build.command(made), "label").items()
    }

    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels.pop("revision"))
    assert labels == {
        "title": "HiGR monitoring, rollout, features, pipelines and commands",
        "version": made.version,
        "created": "1970-01-02T00:00:00+00:00",
        "base.name": "debian:12-slim",
        "base.digest": DIGEST,
    }


def test_layers_bear_one_time_whatever_the_commits_is(build: ModuleType) -> None:
    commands = [
        build.command(parsed(build, "tools", "--base", BASE, SOURCE_DATE_EPOCH=epoch)) for epoch in ("1", "2")
    ]

    times = [command[command.index("--timestamp") + 1] for command in commands]
    assert times == ["315532800"] * 2


def test_serving_on_gpu_is_serving_on_cpu_with_another_torch(build: ModuleType) -> None:
    cpu, gpu = (
        build.command(parsed(build, name, "--base", BASE, "--torch-index", "https://wheels.example.org"))
        for name in ("serve-cpu", "serve-gpu")
    )

    differing = {(one, other) for one, other in zip(cpu, gpu, strict=True) if one != other}
    title = "--label=org.opencontainers.image.title=HiGR serving on"
    assert differing == {
        ("--build-arg=TORCH_BUILD=cpu", "--build-arg=TORCH_BUILD=cuda"),
        (f"{title} CPU", f"{title} GPU"),
        ("higr/serve-cpu:0.1.0", "higr/serve-gpu:0.1.0"),
    }


def test_an_sbom_names_the_image_and_forgets_moment_and_machine(build: ModuleType) -> None:
    libc = {"type": "library", "name": "libc6", "version": "2.36"}
    adduser = {"type": "library", "name": "adduser", "version": "3.134"}
    found = {
        "bomFormat": "CycloneDX",
        "serialNumber": "urn:uuid:1",
        "metadata": {
            "timestamp": "2026-11-30T20:00:00Z",
            "component": {"type": "file", "name": "/var/lib/containers/merged"},
            "tools": {"components": [{"name": "syft"}]},
        },
        "components": [libc, {"type": "file", "name": "/etc/passwd"}, adduser],
    }

    assert build.settled(found, parsed(build, "tools", "--base", BASE)) == {
        "bomFormat": "CycloneDX",
        "metadata": {
            "timestamp": "1970-01-02T00:00:00+00:00",
            "component": {"type": "container", "name": "higr/tools", "version": "0.1.0"},
            "tools": {"components": [{"name": "syft"}]},
        },
        "components": [adduser, libc],
    }


def test_without_git_it_says_what_it_misses(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(build.RefusedError, match="images name the commit they are of"):
        parsed(build, "tools", "--base", BASE)
