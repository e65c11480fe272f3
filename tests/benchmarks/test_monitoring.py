"""The monitoring benchmark on a world of a few users: its traffic is whole, its faults do what they say."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from benchmarks.monitoring import PRESETS, _copy, _head, _tables
from benchmarks.monitoring_world import FAULTS, Fault, Setting, make_setting
from higr.data.logs import FEEDBACK, PREDICTIONS
from monitoring.catalogue import catalogue_figures
from monitoring.result import CAUSES


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return make_setting(tmp_path_factory.mktemp("world"), users=60, items=400, slates=120)


def test_every_fault_is_due_a_cause_that_exists() -> None:
    assert {cause for cause, _ in FAULTS.values()} <= set(CAUSES)
    assert len(FAULTS) == 9


def test_a_day_is_two_logs_that_belong_together(setting: Setting) -> None:
    predictions, feedback = setting.traffic.day(3, setting.bundle.version, setting.codes)
    assert (predictions.schema, feedback.schema) == (PREDICTIONS, FEEDBACK)
    assert len(feedback) == pc.sum(pc.list_value_length(predictions["item_ids"])).as_py()
    assert set(feedback["request_id"].to_pylist()) == set(predictions["request_id"].to_pylist())
    known = set(setting.bundle.catalog.item_ids)
    assert {item for slate in predictions["item_ids"].to_pylist() for item in slate} <= known
    again = setting.traffic.day(3, setting.bundle.version, setting.codes)
    assert again[0].equals(predictions)
    assert again[1].equals(feedback)


def test_weekends_are_busier(setting: Setting) -> None:
    sizes = [len(setting.traffic.day(d, "v", setting.codes)[0]) for d in range(7)]  # the first is a Thursday
    assert np.mean([sizes[2], sizes[3]]) > 1.3 * np.mean([sizes[d] for d in (0, 1, 4, 5, 6)])


def test_no_feedback_and_stale_features(setting: Setting) -> None:
    assert len(setting.traffic.day(4, "v", setting.codes, Fault(feedback=0.0))[1]) == 0
    sound, stale = (
        pc.mean(setting.traffic.day(4, "v", setting.codes, f)[0]["history_length"]).as_py()
        for f in (Fault(), Fault(stale=1.0))
    )
    assert stale < 0.6 * sound


@pytest.mark.parametrize(
    ("fault", "signal", "way"),
    [
        ("broken embedding job", "sid_new_far", 1),
        ("codebook collapse", "sid_perplexity_level_1", -1),
        ("flood of new items", "sid_new_items", 1),
    ],
)
def test_a_fault_of_the_catalogue_shows_in_its_figure(
    setting: Setting, tmp_path: Path, fault: str, signal: str, way: int
) -> None:
    created = setting.traffic.world.items.created
    before = created.copy()
    own = Setting(tmp_path, setting.bundle, setting.traffic)
    FAULTS[fault][1](own)
    created[:] = before
    found = {f.name: f for f in catalogue_figures(own.bundle).figures}[signal]
    assert found.move * way >= found.watch


def test_copies_are_rows_of_their_own(setting: Setting) -> None:
    predictions, _ = setting.traffic.day(0, "v", setting.codes)
    one, other = _copy(predictions, 1), _copy(predictions, 2)
    assert not set(one["request_id"].to_pylist()) & set(other["request_id"].to_pylist())
    assert one.schema == predictions.schema


def test_page_has_the_figures_that_are_due() -> None:
    document = {
        "preset": "quick",
        "seed": 0,
        "machine": {"cpu": "a", "cores": 2},
        "seconds": 1.0,
        "quiet_month": {"windows": 28, "false_pages": 1, "false_trips": 0},
        "faults": [
            {"fault": "f", "detected": False, "named_correctly": False, "windows_to_detect": None},
            {"fault": "g", "detected": True, "named_correctly": True, "windows_to_detect": 1, "cause": "c"},
        ],
        "trip": {"trips": 3, "p50_s": 0.2, "max_s": 0.25, "slates": 1000, "failed": 0},
        "throughput": {
            "rows": 10,
            "seconds": 2.0,
            "cpu_seconds": 1.0,
            "rows_per_second": 5,
            "peak_gb": 1.0,
            "state_mb": 1.0,
        },
    }
    quiet, faults, trip, speed = (rows for _, rows in _tables(document))
    assert quiet[1][:3] == ("28", "1", "0")
    assert faults[1][1:4] == ("**no**", "**no**", "-")
    assert faults[2][1:4] == ("yes", "yes", "1")
    assert trip[1] == ("3", "0.200", "0.250", "under 10 s", "1,000", "0")
    assert speed[1][0] == "10"
    assert "quick" in _head(document)
    assert set(PRESETS) == {"full", "quick"}
