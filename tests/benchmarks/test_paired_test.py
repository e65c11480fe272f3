"""Run: pytest tests/benchmarks/test_paired_test.py"""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import paired_test
from benchmarks.paired_test import RESULTS, markdown, simulate, trainings

PAGE = Path(__file__).resolve().parents[2] / "docs/evaluation.md"


def test_runs_share_users_and_deviate_as_told() -> None:
    users = np.array([5.0, -5.0, 1.0, 0.0])
    runs = trainings(np.random.default_rng(0), users, 2000, 3.0)
    values = np.array([run.values["m"] for run in runs])
    assert values.mean(axis=0) == pytest.approx(users, abs=0.2)
    assert values.var(axis=0) == pytest.approx([0.5**2 + 3.0**2 / 4] * 4, rel=0.2)
    assert np.cov(values[:, 0], values[:, 1])[0, 1] == pytest.approx(3.0**2 / 4, rel=0.2)


def test_users_alone_take_trainings_for_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a difference of 3 runs users vary by 0.5 ** 2, runs by 2: a test of users alone rejects 38 %."""
    monkeypatch.setattr(paired_test, "USERS", 50)
    row = simulate(3, 1.0, repetitions=60, seed=0)
    assert row["rejected_by_flips_alone"] > 0.2 > row["rejected"]
    assert row["mean_held"] > 0.85 < row["difference_held"]


def test_the_page_shows_what_was_found() -> None:
    document = json.loads((RESULTS / "paired_test.json").read_text())
    assert (RESULTS / "paired_test.md").read_text() == markdown(document)
    table = [line for line in markdown(document).splitlines() if line.startswith("|")]
    assert "\n".join(table) in PAGE.read_text()
