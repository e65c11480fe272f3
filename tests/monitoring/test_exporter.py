"""The gauges: exactly the names, labels and values that alerts are written against."""

import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import start_http_server
from prometheus_client.parser import text_string_to_metric_families

from higr.files import write_json
from higr.metrics import METRICS
from monitoring.exporter import Acted, exposition, registry, write_textfile
from monitoring.result import CAUSES, VERDICTS, DriftResult, Signal

DRIFT = {metric.name: metric for metric in METRICS if metric.name.startswith("higr_drift_")}


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """(name, label values in the order of the metrics module) to value."""
    return {
        (sample.name, tuple(sample.labels[label] for label in DRIFT[sample.name].labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def result(judge: Callable[..., Any], traffic: Any) -> DriftResult:
    return judge(traffic(seed=6, fallback=0.1))[0]


def test_every_gauge_by_name_and_value(tmp_path: Path, result: DriftResult) -> None:
    result.save(tmp_path / "drift.json")
    text = exposition(tmp_path / "drift.json")
    found = samples(text)
    for column in result.columns:
        assert found.pop(("higr_drift_psi", (column.column,))) == pytest.approx(column.psi)
    for verdict in VERDICTS:
        assert found.pop(("higr_drift_verdict", (verdict,))) == float(verdict == "page")
    for window in ("reference", "current"):
        assert found.pop(("higr_drift_rows", (window, "predictions"))) == 500
        assert found.pop(("higr_drift_rows", (window, "feedback"))) == 2500
    run = found.pop(("higr_drift_last_run_timestamp_seconds", ()))
    assert run == pytest.approx(result.finished_at.timestamp())
    assert result.current.until
    end = found.pop(("higr_drift_window_end_timestamp_seconds", ()))
    assert end == pytest.approx(result.current.until.timestamp())
    assert {found.pop(("higr_drift_cause", (cause,))) for cause in CAUSES} == {0.0}
    assert {found.pop(("higr_drift_act_failed", (action,))) for action in ("switch", "pipeline")} == {0.0}
    assert found == {}


@pytest.fixture
def whole(tmp_path: Path, result: DriftResult) -> Path:
    """A result of `watch` with everything that it may have, and what was done, in a file."""
    signal = Signal(
        signal="effective_view",
        words="Effective views",
        verdict="page",
        now=0.2,
        expected=0.3,
        measure="relative",
        move=-1 / 3,
        watch=0.05,
        page=0.15,
        p=1e-9,
        rows_reference=9,
        rows_current=9,
    )
    current = result.current.model_copy(update={"skipped": {"predictions.duplicate": 3}})
    update = {"signals": (signal,), "cause": "reception-fell", "current": current}
    result.model_copy(update=update).save(tmp_path / "drift.json")
    acted = Acted({"baseline": 12.0}, {"baseline": 2}, 13.0, ("pipeline",))
    write_json(tmp_path / "acted.json", acted.to_json())
    return tmp_path / "drift.json"


def test_signals_cause_and_what_was_done(whole: Path) -> None:
    found = samples(exposition(whole))
    assert found["higr_drift_signal", ("effective_view",)] == 0.2
    assert found["higr_drift_signal_expected", ("effective_view",)] == 0.3
    assert found["higr_drift_signal_shift", ("effective_view",)] == pytest.approx(1 / 3 / 0.15)
    assert found["higr_drift_cause", ("reception-fell",)] == 1
    assert found["higr_drift_skipped_rows", ("predictions.duplicate",)] == 3
    assert found["higr_drift_switch_moves", ("baseline",)] == 2
    assert found["higr_drift_switch_moved_timestamp_seconds", ("baseline",)] == 12
    assert found["higr_drift_pipeline_started_timestamp_seconds", ()] == 13
    assert found["higr_drift_act_failed", ("pipeline",)] == 1
    assert found["higr_drift_act_failed", ("switch",)] == 0


def test_names_kinds_helps_and_labels_are_the_metrics_modules(whole: Path) -> None:
    families = list(text_string_to_metric_families(exposition(whole)))
    assert {family.name for family in families} == set(DRIFT)
    for family in families:
        metric = DRIFT[family.name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert {frozenset(sample.labels) for sample in family.samples} == {frozenset(metric.labels)}


def test_columns_without_data_have_no_psi(tmp_path: Path, judge: Callable[..., Any], traffic: Any) -> None:
    judge(traffic(seed=8, slates=30))[0].save(tmp_path / "drift.json")
    found = samples(exposition(tmp_path / "drift.json"))
    assert not [name for name, _ in found if name == "higr_drift_psi"]
    assert found["higr_drift_verdict", ("no-data",)] == 1


def test_textfile_is_the_same_text(tmp_path: Path, result: DriftResult) -> None:
    result.save(tmp_path / "drift.json")
    write_textfile(tmp_path / "drift.prom", tmp_path / "drift.json")
    assert (tmp_path / "drift.prom").read_text() == exposition(tmp_path / "drift.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["drift.json", "drift.prom"]


def test_scrapes_follow_the_file_and_survive_its_absence(
    tmp_path: Path, result: DriftResult, judge: Callable[..., Any], traffic: Any
) -> None:
    path = tmp_path / "drift.json"
    server, thread = start_http_server(0, "127.0.0.1", registry(path))
    try:

        def scrape() -> dict[tuple[str, tuple[str, ...]], float]:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=5) as reply:
                return samples(reply.read().decode())

        assert scrape() == {}
        result.save(path)
        assert scrape()["higr_drift_verdict", ("page",)] == 1
        judge(traffic(seed=2))[0].save(path)
        assert scrape()["higr_drift_verdict", ("ok",)] == 1
        path.write_text("{")
        assert scrape() == {}
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
    assert not thread.is_alive()
