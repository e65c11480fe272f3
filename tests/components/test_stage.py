import json
import logging
import math
from pathlib import Path

import pytest
from kfp import dsl

from components import stage as module
from components.events import Event
from components.stage import Stage
from higr.errors import QualityGateError


def kinds(events):
    return [event.kind for event in events()]


def test_figures_go_to_metrics_metadata_and_file(artifact, metrics, events, monkeypatch):
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    model = artifact(dsl.Model, "model")
    with Stage("align", "name: x") as stage:
        now += 7.25
        stage.record({"loss": 0.5, "pairs": 7, "version": "abc", "gain": math.nan}, metrics, model)
    assert metrics.metadata == {"loss": 0.5, "pairs": 7}
    assert model.metadata == {"loss": 0.5, "pairs": 7, "version": "abc"}
    content = json.loads(Path(metrics.path).read_text())
    assert content["figures"] == {"loss": 0.5, "pairs": 7, "version": "abc"}
    assert content["seconds"] == 7.25
    started, finished = events()
    assert (started.kind, started.figures) == ("started", {})
    assert (finished.kind, finished.figures) == ("finished", content["figures"])


def test_configuration_is_parsed_and_checked(events):
    with Stage("align", "align: {epochs: 3}") as stage:
        assert stage.config.align.epochs == 3
        assert stage.config.training.epochs == 4


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("align: {epoch: 3}", "align.epoch"),
        ("align: {epochs: 0}", "align.epochs"),
        ("align: [", "not YAML"),
        ("- 1", "holds a list"),
    ],
)
def test_a_bad_configuration_ends_with_one_line(text, part, events, error_line):
    with pytest.raises(SystemExit) as ended, Stage("align", text):
        pytest.fail("the body ran")
    assert ended.value.code == 2
    line = error_line()
    assert line.startswith("higr: align: configuration: ")
    assert part in line
    assert kinds(events) == ["started", "failed"]


def test_an_error_of_the_user_ends_with_its_line(events, error_line):
    with pytest.raises(SystemExit) as ended, Stage("tokenize", ""):
        raise QualityGateError("collision 0.5")
    assert ended.value.code == 2
    assert error_line() == "higr: tokenize: collision 0.5"
    _, failed = events()
    assert (failed.kind, failed.text) == ("failed", "collision 0.5")


def test_an_error_of_ours_keeps_its_trace(events):
    with pytest.raises(ZeroDivisionError), Stage("tokenize", ""):
        raise ZeroDivisionError("division by zero")
    _, crashed = events()
    assert (crashed.kind, crashed.text) == ("crashed", "ZeroDivisionError: division by zero")


@pytest.mark.parametrize("fails", [False, True])
def test_a_report_is_published_however_the_stage_ends(tmp_path, artifact, events, fails, capsys):
    page, html = tmp_path / "report.html", artifact(dsl.HTML, "report")
    try:
        with Stage("tokenize", "") as stage:
            stage.publish(page, html.path)
            page.write_text("<p>why</p>")
            if fails:
                raise QualityGateError("no")
    except SystemExit:
        assert fails
    assert Path(html.path).read_text() == "<p>why</p>"
    assert kinds(events) == ["started", "report", "failed" if fails else "finished"]


def test_a_report_that_was_never_written_is_no_error(artifact, events):
    with Stage("tokenize", "") as stage:
        stage.publish(Path("/nowhere/report.html"), artifact(dsl.HTML, "report").path)
    assert kinds(events) == ["started", "finished"]


def test_progress_is_thinned_but_begins_and_ends(events, caplog, monkeypatch):
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with caplog.at_level(logging.INFO, "higr.components"), Stage("pretrain", "") as stage:
        for step in range(1, 101):
            now += 0.25
            stage.progress("pretrain", step, 100)
    told = [event for event in events() if event.kind == "progress"]
    assert told[0] == Event("pretrain", "progress", label="pretrain", done=1, total=100)
    assert told[-1].done == 100
    assert len(told) == 26  # 24.75 s of steps, one a second, and the last
    logged = [record.getMessage() for record in caplog.records]
    assert logged[0] == "pretrain: pretrain 1 of 100"
    assert logged[-1] == "pretrain: pretrain 100 of 100"
    assert len(logged) == 4  # at 0, 10 and 20 s, and the last
