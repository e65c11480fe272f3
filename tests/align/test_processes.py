"""Run: pytest tests/align

Two processes on this machine, started by torchrun, align as one process does.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.align.together import LAYOUTS, aligned

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("together")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "tests.align.together", str(directory)]
    found = subprocess.run(command, cwd=ROOT, check=False, timeout=300, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-2000:]
    return directory


@pytest.mark.parametrize("objective", [name for name, _ in LAYOUTS if name != "f_grpo"])
def test_pairs_are_learned_alike(directory: Path, objective: str) -> None:
    found = torch.load(directory / f"{objective}.pt")
    weights, curve = aligned(objective, "none")
    assert found["weights"].keys() == weights.keys()
    for name, value in weights.items():
        torch.testing.assert_close(found["weights"][name], value, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(curve, found["curve"], strict=True):
        assert ours["validation_loss"] == pytest.approx(theirs["validation_loss"], rel=1e-4)


def test_rollouts_of_two_processes_teach_one_model(directory: Path) -> None:
    found = torch.load(directory / "f_grpo.pt")
    start, *rest = found["curve"]
    assert max(-record["validation_loss"] for record in rest) > -start["validation_loss"]
