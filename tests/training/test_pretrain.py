"""Run: pytest tests/training

The training stages: interrupted, and in several processes.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from higr import stages
from higr.config import RunConfig
from higr.model.higr import HiGR
from higr.training.curves import read_curve, read_steps
from tests.conftest import NANO
from tests.training import tiny


class StopError(Exception):
    """The test has seen enough."""


@pytest.mark.parametrize(("stage", "out"), [("pretrain", "pretrained"), ("align", "aligned")])
def test_an_interrupted_stage_resumes_and_leaves_nothing_beside_its_folder(
    nano_run: Path, nano_config: RunConfig, tmp_path: Path, stage: str, out: str
) -> None:
    for name in ("data", "tokens", "pretrained"):
        shutil.copytree(nano_run / name, tmp_path / name)
    shutil.rmtree(tmp_path / out, ignore_errors=True)
    before = {path.name for path in tmp_path.iterdir()}
    seen: list[int] = []

    def stop(label: str, done: int, total: int) -> None:
        seen.append(done)
        if done == total:
            raise StopError

    with pytest.raises(StopError):
        stages.STAGES[stage](nano_config, tmp_path, stop)
    assert {path.name for path in tmp_path.iterdir()} - before == {f".{out}.training"}
    stages.STAGES[stage](nano_config, tmp_path, lambda *step: seen.append(step[1]))
    assert {path.name for path in tmp_path.iterdir()} - before == {out}
    assert tiny.equal(HiGR.load(tmp_path / out / "model"), HiGR.load(nano_run / out / "model"))
    assert read_curve(tmp_path / out) == read_curve(nano_run / out)
    assert len(read_steps(tmp_path / out)) == read_curve(tmp_path / out)[-1]["steps"]


@pytest.mark.slow
def test_under_torchrun_one_process_writes_and_speaks_for_all(nano_run: Path, tmp_path: Path) -> None:
    for name in ("data", "tokens"):
        shutil.copytree(nano_run / name, tmp_path / name)
    changes = {**NANO, "training.parallel": "ddp", "training.shards": 2, "training.epochs": 1}
    settings = [part for name, value in changes.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command = ["higr.cli", "pretrain", "-c", "nano", "-o", str(tmp_path), "--json", *settings]
    done = subprocess.run([*torchrun, *command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["epochs"] == 1
    assert HiGR.load(tmp_path / "pretrained/model").codebook_size == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "pretrained", "tokens"]
