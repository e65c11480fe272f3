"""Run: pytest tests/test_update_report.py"""

import json

import numpy as np
import pytest

from higr.tokenizer.collisions import CollisionReport
from higr.update_report import Drift, UpdateReport

REFERENCE = np.linspace(0.0, 1.0, 101)
"""Percentiles of errors that are even between 0 and 1: the 99th is 0.99."""


def report(**parts: object) -> UpdateReport:
    counts = dict.fromkeys(("items", "added", "updated", "removed", "disabled", "enabled"), 0)
    return UpdateReport(version="v", parent="p", catalog="c", parent_catalog="q", **counts, **parts)  # type: ignore[arg-type]


def test_quantiles_stand_beside_the_references() -> None:
    drift = Drift.of(np.linspace(0.0, 2.0, 201), REFERENCE)
    assert drift.new == pytest.approx((1.0, 1.8, 1.98))
    assert drift.reference == pytest.approx((0.5, 0.9, 0.99))
    assert (drift.beyond, drift.items) == (101, 201)  # 1.00, 1.01, ... 2.00
    figures = report(drift=drift).figures()
    assert figures["error_p99"] == pytest.approx(1.98)
    assert figures["error_p99_reference"] == pytest.approx(0.99)
    assert figures["share_beyond_reference_p99"] == pytest.approx(101 / 201)


@pytest.mark.parametrize(
    ("beyond", "items", "warns"),
    [
        (0, 1, False),
        (1, 1, False),  # one odd item is no drift
        (2, 2, False),
        (3, 3, True),
        (3, 59, True),
        (3, 60, False),  # 5 % and no more
        (50, 1000, False),
        (51, 1000, True),
    ],
)
def test_a_warning_needs_a_share_and_a_number(beyond: int, items: int, warns: bool) -> None:
    drift = Drift.of(np.repeat([1.5, 0.5], [beyond, items - beyond]), REFERENCE)
    assert drift.beyond == beyond
    assert bool(drift.warning) == warns
    lines = report(drift=drift).warnings
    assert len(lines) == warns
    if warns:
        assert f"{beyond / items:.1%} of {items} new items" in lines[0]


def test_figures_are_flat_and_leave_out_what_does_not_apply() -> None:
    bare = report()
    assert bare.warnings == ()
    assert not any(name.startswith(("error", "share", "collision")) for name in bare.figures())
    full = report(
        unknown={"remove": ("a", "b")},
        quarantined={"odd": 3, "empty": 1},
        quarantine="file",
        collisions=CollisionReport("extend", 5, 4, 3, largest_extra=2),
        drift=Drift.of(np.zeros(5), REFERENCE),
    )
    figures = full.figures()
    assert all(isinstance(value, int | float | str) for value in figures.values())
    assert json.loads(json.dumps(figures)) == figures
    assert (figures["unknown_to_remove"], figures["unknown_to_disable"], figures["quarantined"]) == (2, 0, 4)
    assert (figures["collision_policy"], figures["largest_extra_code"]) == ("extend", 2)
    assert full.warnings == (
        "--remove: 2 ids are not in the catalogue and were ignored: a, b",
        "rows put aside in file: odd: 3, empty: 1",
    )
