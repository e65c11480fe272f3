"""What the pages say is what the code does."""

import re
from pathlib import Path

import numpy as np
import pytest

from higr.config import MonitoringConfig
from higr.metrics import METRICS
from monitoring.report import ADVICE, NAMES
from monitoring.result import VERDICTS

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE = (DOCS / "monitoring.md").read_text()
RUNBOOK = (DOCS / "runbooks" / "drift.md").read_text()


def test_guide_names_every_column_verdict_and_gauge() -> None:
    gauges = [metric.name for metric in METRICS if metric.name.startswith("higr_drift_")]
    missing = [word for word in (*NAMES, *VERDICTS, *gauges) if f"`{word}`" not in GUIDE]
    assert missing == []


def test_guide_gives_the_default_thresholds() -> None:
    config = MonitoringConfig()
    assert (
        f"`psi_watch` {config.psi_watch}, `psi_page` {config.psi_page}, `min_rows` {config.min_rows}" in GUIDE
    )


def test_examples_of_a_psi_are_right() -> None:
    def psi(old: float, new: float) -> float:
        """Of two cells with these shares of the first."""
        return (new - old) * np.log(new / old) + (old - new) * np.log((1 - new) / (1 - old))

    assert psi(1e-4, 0.02) == pytest.approx(0.106, abs=5e-4)
    assert psi(1e-4, 0.041) < 0.25 < psi(1e-4, 0.042)
    assert psi(0.3, 0.2) == pytest.approx(0.054, abs=5e-4)


def test_runbook_names_metrics_that_exist() -> None:
    names = {metric.name for metric in METRICS}
    for word in re.findall(r"higr_[a-z_]+", RUNBOOK):
        assert word.removesuffix("_total") in names


def test_runbook_has_its_steps_in_order() -> None:
    assert set(ADVICE) == set(VERDICTS)
    headings = re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE)
    assert headings == ["What it means", "See", "Decide", "Make safe", "Fix", "Verify"]
