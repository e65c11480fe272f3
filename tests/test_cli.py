"""Run: pytest tests/test_cli.py"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from higr.cli import app, main
from higr.config import presets


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "higr.cli", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "-c", "nonesuch"], "no preset 'nonesuch'; presets are demo, kuairand, nano"),
        (["data", "-c", "gone.yaml"], "configuration gone.yaml does not exist"),
        (["data", "--set", "seed"], "--set 'seed': write section.field=value"),
        (["data", "--set", "seed=[1"], "--set 'seed=[1': '[1' is not a YAML value; quote it"),
        (
            ["data", "--set", "data.slate_size=0"],
            "data.slate_size: Input should be greater than or equal to 1",
        ),
        (["data", "--set", "data.slatesize=5"], "data.slatesize: Extra inputs are not permitted"),
        (["data", "--set", "data.source=tables"], "source 'tables' needs data.path"),
        (
            ["pretrain", "-c", "nano", "-o", "empty"],
            "events.parquet does not exist; run the stage that writes",
        ),
        (["recommend", "--bundle", "nowhere"], "nowhere is not a bundle: it has no manifest.json"),
    ],
)
def test_user_errors_are_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["higr", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert error[0].startswith("higr: ")
    assert message in error[0]
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_stage_in_order() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    places = [
        text.index(f" {name} ") for name in ("data", "tokenize", "baseline", "pretrain", "align", "evaluate")
    ]
    assert places == sorted(places)


def test_a_stage_prints_one_json_object(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "-c", "nano", "-o", str(tmp_path / "run"), "--json"])
    figures = json.loads(result.stdout)
    assert figures["stage"] == "data"
    assert figures["items"] == 200
    assert (tmp_path / "run" / "data" / "slates.parquet").is_file()


def test_recommend_decodes_from_a_bundle(nano_bundle: Path) -> None:
    result = CliRunner().invoke(app, ["recommend", "-b", str(nano_bundle), "-n", "3", "--json"])
    assert len({item["item_id"] for item in json.loads(result.stdout)["items"]}) == 3


@pytest.mark.parametrize("name", presets())
def test_every_preset_prints_as_a_configuration_that_reads_back(name: str) -> None:
    text = CliRunner().invoke(app, ["config", "-c", name]).stdout
    assert yaml.safe_load(text)["name"] == name
