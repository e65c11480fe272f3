"""Run: pytest tests/test_operations.py

The operations page, taken literally: its commands in their order, with a real S3, real Helm and kubectl, an
emulated API server and a real serving process in the place of the pods.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.charts.footprint import footprints
from tests.charts.rendering import CHART, Helm
from tests.kube import emulated
from tests.page_commands import (
    every,
    helm_takes,
    kubectl_takes,
    make_has,
    our_program_takes,
    shell_parses,
    with_program,
)
from tests.s3_server import S3Server
from tests.serving.process import Server
from tests.tools import REPOSITORY, require

PAGE = REPOSITORY / "docs" / "operations.md"
EVERY = every([PAGE])
SECRETS = "s3.env"


@pytest.mark.parametrize(("page", "command"), EVERY)
def test_a_shell_parses_it(page: str, command: str) -> None:
    shell_parses(command)


@pytest.mark.parametrize(("page", "command"), with_program(EVERY, "kubectl "))
def test_kubectl_takes_it(page: str, command: str, tmp_path: Path) -> None:
    (tmp_path / SECRETS).write_text("AWS_ACCESS_KEY_ID=a\n")
    kubectl_takes(command, tmp_path)


@pytest.mark.parametrize(("page", "command"), with_program(EVERY, "helm "))
def test_helm_takes_it(page: str, command: str, tmp_path: Path) -> None:
    helm_takes(command.replace("--values prod.yaml", f"--values {CHART / 'values-prod-cpu.yaml'}"), tmp_path)


@pytest.mark.parametrize(("page", "command"), with_program(EVERY, "python -m ", "higr "))
def test_our_programs_have_these_options(page: str, command: str) -> None:
    our_program_takes(command)


@pytest.mark.parametrize(("page", "command"), with_program(EVERY, "make "))
def test_make_has_the_target(page: str, command: str) -> None:
    make_has(command)


def test_no_command_is_of_a_program_that_nothing_tries() -> None:
    known = ("kubectl ", "helm ", "python -m ", "higr ", "make ", "curl ", "for role in ")
    others = {command for _, command in EVERY if not command.startswith(known)}
    assert {command.split()[0] for command in others} <= {"buildah"}, (
        others
    )  # `make test-images` pushes nowhere


@pytest.mark.parametrize("name", ["dev", "baseline-only", "prod-cpu", "prod-gpu"])
def test_the_costs_are_those_of_the_rendered_chart(name: str) -> None:
    helm = Helm(require("helm"))
    least, most = footprints(helm.documents("--values", str(CHART / f"values-{name}.yaml")))
    assert f"| `values-{name}.yaml` | {least.row()} | {most.row()} |" in PAGE.read_text()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with pytest.MonkeyPatch.context() as patch, S3Server(tmp_path_factory.mktemp("s3")) as server:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.make_bucket("models")
        yield server


def test_from_nothing_to_a_slate(s3: S3Server, nano_bundle: Path, tmp_path: Path) -> None:
    steps = _section("## From nothing to a slate")
    namespace, secret, publish, install, wait = steps[3:8]
    annotate = next(step for step in steps if step.startswith("kubectl annotate secret"))
    ask = next(step for step in steps if step.startswith("curl "))
    helm, kubectl = str(require("helm")), str(require("kubectl"))
    (tmp_path / SECRETS).write_text(
        "".join(f"{name}={value}\n" for name, value in s3.environment.items() if "KEY" in name)
    )
    with emulated(tmp_path, namespace="elsewhere") as cluster:
        environment = {**os.environ, **cluster}

        def run(command: str, *, cwd: Path = REPOSITORY) -> str:
            program, *arguments = shlex.split(command)
            binary = {"helm": [helm], "kubectl": [kubectl], "higr": [sys.executable, "-m", "higr.cli"]}
            done = subprocess.run(
                [*binary[program], *arguments],
                capture_output=True, text=True, check=False, env=environment, cwd=cwd, timeout=120,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            return done.stdout

        # 1. The five commands.
        run(namespace)
        run(secret, cwd=tmp_path)
        run(annotate)
        uri = run(publish.replace("runs/demo/bundle", str(nano_bundle))).split()[-1]
        version = uri.rpartition("/")[2]
        assert uri == f"s3://models/higr/versions/{version}"
        run(install.replace("VERSION", version))
        run(wait)

        # 2. What the cluster has now: the bundle of the record, in both roles, and no secret in the release.
        service = json.loads(run("kubectl get inferenceservice higr --namespace models --output json"))
        roles = {role: service["spec"][role]["containers"][0] for role in ("transformer", "predictor")}
        given = [{"name": "STORAGE_URI", "value": uri} in found["env"] for found in roles.values()]
        assert given == [True, True]
        assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in run("helm get all higr --namespace models")

        # 3. The pods of that release: its arguments and files, the bundle where the initializer lays it.
        mounts = Mounts(tmp_path / "mounts")
        run(f"higr bundle fetch {version} --store s3://models/higr --out {mounts.bundle}")
        files = json.loads(run("kubectl get configmap higr-config --namespace models --output json"))["data"]
        mounts.write(files)
    with ExitStack() as stack:

        def start(model: str, arguments: list[str]) -> Server:
            server = Server(tmp_path, model, arguments)
            stack.callback(server.stop)
            return server

        predictor = start("higr-predictor", mounts.arguments(roles["predictor"])).wait()
        host = {"--predictor_host": f"127.0.0.1:{predictor.port}"}
        transformer = start("higr", mounts.arguments(roles["transformer"], host)).wait()

        # 4. The page's own request.
        path, body = re.search(r"localhost:8080(\S+) .*-d '(.*)'", ask).groups()  # type: ignore[union-attr]
        answer = httpx.post(
            f"http://127.0.0.1:{transformer.port}{path}", json=json.loads(body), trust_env=False, timeout=60
        )
    (prediction,) = answer.json()["predictions"]
    assert [prediction["source"], len(prediction["items"])] == ["higr", 5]
    assert prediction["model_version"] == version


class Mounts:
    """Folders of this machine in the place of a pod's."""

    def __init__(self, folder: Path) -> None:
        self.bundle, self._config = folder / "models", folder / "config"
        self._switch = folder / "switch" / "mode"
        self._places = {
            "/mnt/models": self.bundle,
            "/etc/higr/config": self._config,
            "/etc/higr/switch/mode": self._switch,
        }

    def write(self, files: dict[str, str]) -> None:
        self._config.mkdir(parents=True)
        for name, text in files.items():
            (self._config / name).write_text(self._here(text))
        self._switch.parent.mkdir()
        self._switch.write_text("auto")

    def arguments(self, container: dict[str, Any], changes: Mapping[str, str] | None = None) -> list[str]:
        """Of the container, but for its port, with its paths here. A busy machine has no deadline."""
        given = dict(argument.split("=", 1) for argument in container["args"])
        given.pop("--http_port")
        given |= changes or {}
        if "--deadline-ms" in given:
            given["--deadline-ms"] = "30000"
        return [f"{name}={self._here(value)}" for name, value in given.items()]

    def _here(self, text: str) -> str:
        for there, here in self._places.items():
            text = text.replace(there, str(here))
        return text


def _section(heading: str) -> list[str]:
    """Its commands, in their order."""
    body = PAGE.read_text().partition(heading + "\n")[2].partition("\n## ")[0]
    return [line for block in re.findall(r"```sh\n(.*?)```", body, re.DOTALL) for line in block.splitlines()]
