import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from components.parameters import PARAMETERS
from higr.config import load_config, parse_config
from higr.errors import InputError
from pipelines import __main__ as cli
from pipelines.__main__ import Pipeline, app


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["run", "--config", "none"], "no preset 'none'"),
        (["run", "--config", "none.yaml"], "none.yaml does not exist"),
        (["run", "--set", "training.epoch=2"], "training.epoch"),
        (["run", "--set", "training.epochs"], "write section.field=value"),
        (["run", "--set", "training.epochs=["], "is not a YAML value"),
        (["run", "--set", "seed.x=1"], "seed is no section"),
        (["run", "--set", "data.source=kuairand"], "needs data.path"),
        (["run", "--out", "/proc/nothing"], "cannot be written"),
        (["run", "--param", "stor=x"], "--param 'stor=x': write name=value; training takes store"),
        (["run", "--param", "store"], "write name=value"),
        (["run", "--param", "webhook=http://x"], "training takes store"),
        (["run", "refresh", "-p", "items=x"], "store is empty"),
        (["run", "refresh", "-p", "store=none"], "items, remove, disable and enable are empty"),
        (["run", "realign", "-p", "store=none", "-p", "hours=-1"], "hours: Input should be greater than 0"),
        (["run", "realign", "-p", "store=none"], "nothing is in production"),
        (["compile", "--cluster", "none.yaml"], "--cluster none.yaml cannot be read"),
        (["compile", "refresh", "--out", "pipeline.txt"], ".yaml"),
        (["compile", "--set", "model.width=30"], "width 30"),
        (["compile", "--out", "pipeline.txt"], ".yaml"),
    ],
)
def test_what_the_user_can_mend_is_one_line(arguments, part, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pipelines", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("higr: ")
    assert part in line
    assert list(tmp_path.rglob("*")) == []


def test_an_unknown_pipeline_is_refused():
    done = CliRunner().invoke(app, ["compile", "rollout"])
    assert done.exit_code == 2
    assert "'training', 'refresh', 'realign'" in done.output


@pytest.mark.parametrize("pipeline", Pipeline)
def test_compile(pipeline, tmp_path, monkeypatch):
    out = tmp_path / "deep" / "pipeline.yaml"
    monkeypatch.setenv("HIGR_IMAGE", "registry.example/train:7")
    done = CliRunner().invoke(app, ["compile", pipeline, "-o", str(out), "-c", "nano", "-s", "seed=3"])
    assert done.exit_code == 0, done.output
    document, *_ = yaml.safe_load_all(out.read_text())
    assert document["pipelineInfo"]["name"] == f"higr-{pipeline}"
    parameters = document["root"]["inputDefinitions"]["parameters"]
    assert parse_config(parameters["config"]["defaultValue"]) == load_config("nano", {"seed": 3})
    executors = document["deploymentSpec"]["executors"].values()
    assert {executor["container"]["image"] for executor in executors} == {"registry.example/train:7"}


def test_every_pipeline_can_be_named():
    assert [one.value for one in Pipeline] == list(PARAMETERS)


def test_one_run_at_a_time(tmp_path):
    (tmp_path / ".kfp").mkdir()
    with (tmp_path / ".kfp" / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = CliRunner().invoke(app, ["run", "-c", "nano", "-o", str(tmp_path)])
    assert isinstance(done.exception, InputError)
    assert "another run is writing" in str(done.exception)


def test_help_is_worth_reading():
    repository = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "compile", "--help"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "data_version" in done.stdout
    assert "HIGR_IMAGE" in done.stdout
