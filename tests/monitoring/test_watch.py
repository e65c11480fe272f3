"""The job over a running state: each part once, late and broken rows counted, every odd window named."""

import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from higr.bundle import Bundle
from higr.data.logs import is_sampled
from higr.errors import InputError
from monitoring.columns import Segments
from monitoring.pipeline import PipelineTarget
from monitoring.state import State, opened
from monitoring.watch import Options, run_watch
from tests.monitoring.month import DAYS, START, Month


def counts(state: Path) -> dict[tuple[str, str], tuple[int, float]]:
    with opened(state) as kept:
        rows = kept.tally(0, 10**7).group_by(["column", "cell"]).aggregate([("n", "sum"), ("total", "sum")])
    return {(r["column"], r["cell"]): (r["n_sum"], round(r["total_sum"], 3)) for r in rows.to_pylist()}


def test_a_quiet_day_is_ok(logs: Month) -> None:
    logs.write(DAYS)
    result = logs.run(DAYS)
    assert (result.verdict, result.cause, result.since) == ("ok", None, None), result.reason
    assert result.current.rows == {"predictions": 300, "feedback": 1500}
    assert result.current.since == START + timedelta(days=DAYS)
    assert result.reference.rows == {"predictions": 300 * DAYS, "feedback": 1500 * DAYS}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        pytest.param({"fallback": 0.4}, "fallback", id="fallback"),
        pytest.param({"taste": (0.62, 0.28, 0.1, 0.0001)}, "category-vanished", id="a category vanishes"),
        pytest.param({"watched": 0.3}, "reception-fell", id="people watch less"),
    ],
)
def test_a_moved_day_pages_and_is_named(logs: Month, change: dict[str, Any], cause: str) -> None:
    logs.write(DAYS, **change)
    result = logs.run(DAYS)
    assert result.verdict in ("page", "trip")
    assert result.cause == cause
    assert result.since == START + timedelta(days=DAYS)
    assert result.examples
    assert "user-" not in (logs.folder / "out" / "drift.json").read_text()
    page = (logs.folder / "out" / "drift.html").read_text()
    assert cause in page
    assert "Examples" in page
    assert "engaged_category" in (logs.folder / "out" / "evidently.html").read_text()


def test_a_day_on_the_baseline_by_the_switch_is_no_fallback(logs: Month) -> None:
    predictions, feedback = logs.tables(DAYS, fallback=1.0)
    for name, word in (("source", "baseline"), ("fallback_reason", "switch")):
        place = predictions.column_names.index(name)
        predictions = predictions.set_column(
            place, predictions.schema.field(place), pa.array([word] * len(predictions))
        )
    pq.write_table(predictions, logs.predictions / "switched.parquet")
    pq.write_table(feedback, logs.feedback / "switched.parquet")
    result = logs.run(DAYS)
    assert result.verdict == "ok", result.reason
    assert {s.signal: s.now for s in result.signals}["fallback"] == 0


def test_of_a_sampled_log_only_feedback_on_its_own_slates_counts(
    tmp_path: Path, bundle: Bundle, traffic: Any
) -> None:
    logs = Month(tmp_path, bundle, traffic)
    logs.write(0)
    part = logs.predictions / "day-0.parquet"
    table = pq.read_table(part)
    mask = [is_sampled(name, 0.5) for name in table["request_id"].to_pylist()]
    place = table.schema.get_field_index("sample_share")
    table = table.set_column(place, table.schema.field(place), pa.array([0.5] * len(table)))
    pq.write_table(table.filter(pa.array(mask)), part)
    assert 0 < sum(mask) < 300
    result = logs.run(0)
    assert result.current.rows == {"predictions": sum(mask), "feedback": 5 * sum(mask)}
    assert result.current.skipped["feedback.not-sampled"] == 5 * (300 - sum(mask))


def test_since_is_the_first_of_the_windows_that_moved(tmp_path: Path, bundle: Bundle, traffic: Any) -> None:
    logs = Month(tmp_path, bundle, traffic)
    for day in range(12):
        logs.write(day, **({"fallback": 0.4} if day >= 10 else {}))
    result = logs.run(11, Options(reference_days=9))
    assert result.cause == "fallback"
    assert result.since == START + timedelta(days=10)


def test_parts_in_any_order_and_number_of_runs_give_the_same_counts(
    tmp_path: Path, month: Month, bundle: Bundle, traffic: Any
) -> None:
    logs = Month(tmp_path, bundle, traffic)
    for day in (4, 0, 3, 1, 2, 5, 6, 8, 7):
        logs.write(day, name=f"z{9 - day}")
        if day in (3, 6):
            logs.run(DAYS - 1)
    logs.run(DAYS - 1)
    assert counts(logs.state) == counts(month.state)


def test_a_part_is_read_once(logs: Month, monkeypatch: pytest.MonkeyPatch) -> None:
    from monitoring import fold

    read: list[str] = []
    batches = fold.batches
    monkeypatch.setattr(
        fold, "batches", lambda part, *rest: (read.append(part.name), batches(part, *rest))[1]
    )
    before = counts(logs.state)
    logs.run(DAYS - 1)
    assert read == []
    assert counts(logs.state) == before
    logs.write(DAYS)
    logs.run(DAYS)
    assert read == [f"day-{DAYS}.parquet"] * 2


def test_a_run_that_is_killed_has_done_nothing(logs: Month, monkeypatch: pytest.MonkeyPatch) -> None:
    before = counts(logs.state)
    logs.write(DAYS)

    def killed(self: State) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(State, "_sweep", lambda self: None)
        patch.setattr("monitoring.state.write_json", lambda *_: killed(None))  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            logs.run(DAYS)
    assert counts(logs.state) == before
    assert logs.run(DAYS).current.rows == {"predictions": 300, "feedback": 1500}


def test_duplicated_parts_count_once(logs: Month) -> None:
    logs.write(DAYS)
    logs.write(DAYS, name="again")
    result = logs.run(DAYS)
    assert result.current.rows == {"predictions": 300, "feedback": 1500}
    assert result.current.skipped == {"predictions.duplicate": 300, "feedback.duplicate": 1500}
    logs.write(DAYS, name="and again, a run later")
    assert logs.run(DAYS).current.rows == {"predictions": 300, "feedback": 1500}


def test_late_rows_are_taken_while_they_can_be_and_then_counted(logs: Month) -> None:
    for log, table in zip((logs.predictions, logs.feedback), logs.tables(DAYS), strict=True):
        pq.write_table(table.slice(0, len(table) // 2), log / "early.parquet")
        pq.write_table(table.slice(len(table) // 2), logs.folder / f"{log.name}-late.parquet")
    assert logs.run(DAYS).current.rows == {"predictions": 150, "feedback": 750}
    for log in (logs.predictions, logs.feedback):
        (logs.folder / f"{log.name}-late.parquet").rename(log / "late.parquet")
    assert logs.run(DAYS).current.rows == {"predictions": 300, "feedback": 1500}
    logs.write(2, name="much too late", fallback=0.5)
    result = logs.run(DAYS)
    assert result.current.skipped["predictions.late"] == 300
    assert result.current.skipped["feedback.late"] == 1500


BAD_INPUT = {
    "empty": ("no-data", "at least 200 slates are due"),
    "no feedback": ("page", "little or no feedback"),
    "no predictions": ("no-data", "exposures came back but only 0 slates"),
    "other version": ("no-data", "300 slates are of other bundles"),
    "clock ahead": ("no-data", "at least 200 slates are due"),
    "corrupt": ("no-data", "at least 200 slates are due"),
    "column missing": ("no-data", "at least 200 slates are due"),
    "unknown column": ("ok", ""),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_has_a_name(logs: Month, case: str) -> None:
    verdict, reason = BAD_INPUT[case]
    if case != "empty":
        logs.write(DAYS)
    parts = [log / f"day-{DAYS}.parquet" for log in (logs.predictions, logs.feedback)]
    if case == "no feedback":
        parts[1].unlink()
    elif case == "no predictions":
        parts[0].unlink()
    elif case == "corrupt":
        for part in parts:
            part.write_bytes(part.read_bytes()[:-200])
    elif case != "empty":
        for part in parts:
            change(case, part)
    result = logs.run(DAYS)
    assert result.verdict == verdict
    assert reason in result.reason
    assert (logs.folder / "out" / "drift.prom").exists()
    skipped = {"other version": "predictions.other-version", "clock ahead": "predictions.future"}
    if case in skipped:
        assert result.current.skipped[skipped[case]] == 300
    if case in ("corrupt", "column missing"):
        assert result.current.skipped["predictions.part"] == 1
        assert "left out" in result.current.notes[0]
    if case == "unknown column":
        assert "unknown column mood ignored" in result.current.notes[0]


def change(case: str, part: Path) -> None:
    table = pq.read_table(part)
    if case == "other version" and "model_version" in table.column_names:
        place = table.column_names.index("model_version")
        table = table.set_column(place, table.schema.field(place), pa.array(["another"] * len(table)))
    elif case == "clock ahead":
        place = table.column_names.index("timestamp")
        ahead = pc.add(table["timestamp"], pa.scalar(timedelta(days=3), pa.duration("ms")))
        table = table.set_column(place, table.schema.field(place), ahead)
    elif case == "column missing":
        table = table.drop_columns(["user_id"])
    elif case == "unknown column":
        table = table.append_column("mood", pa.array([1] * len(table)))
    pq.write_table(table, part)


def test_a_mended_part_is_read_again(logs: Month) -> None:
    logs.write(DAYS)
    part = logs.predictions / f"day-{DAYS}.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-100])
    assert logs.run(DAYS).verdict == "no-data"
    part.write_bytes(whole)
    assert logs.run(DAYS).current.rows["predictions"] == 300


def test_logs_that_stop_are_no_data_not_the_last_good_window(logs: Month) -> None:
    assert logs.run(DAYS - 1).verdict == "ok"
    assert logs.run(DAYS + 3).verdict == "no-data"


def test_the_first_days_are_compared_with_the_bundles_own_reference(
    tmp_path: Path, bundle: Bundle, traffic: Any
) -> None:
    logs = Month(tmp_path, bundle, traffic)
    logs.write(0)
    quiet = logs.run(0)
    assert quiet.verdict == "ok", quiet.reason
    assert quiet.reference.notes == ("the bundle's own reference",)
    assert quiet.reference.rows == {"predictions": 500, "feedback": 2500}
    logs.write(1, taste=(0.1, 0.2, 0.3, 0.4))
    assert logs.run(1).verdict == "page"


def test_windows_of_hours(logs: Month) -> None:
    table, _ = logs.tables(DAYS)
    logs.write(DAYS)
    now = START + timedelta(days=DAYS, hours=5)
    folders = (logs.predictions, logs.feedback, logs.folder / "state", logs.folder / "out")
    result, _ = run_watch(logs.bundle.path, *folders, Options(hours=4), now=now)
    assert result.current.since == START + timedelta(days=DAYS)
    assert result.current.rows["predictions"] == 240
    assert len(table) == 300


def test_segments_have_a_state_and_figures_of_their_own(logs: Month) -> None:
    users = pa.table({"user_id": [f"user-{i}" for i in range(200)], "age": ["old", "young"] * 100})
    options = Options(segments=Segments.of(users, "age"))
    logs.write(DAYS)
    result = logs.run(DAYS, options)
    assert {s.signal for s in result.signals if s.signal.startswith("effective_in:")} == {
        "effective_in:old",
        "effective_in:young",
    }
    assert sorted(p.name for p in (logs.folder / "state").iterdir()) == ["tok-age", "tok-all"]
    with pytest.raises(InputError, match="segment 'sign' is no field of the users' profiles; they have age"):
        Segments.of(users, "sign")


def test_two_runs_at_once(logs: Month) -> None:
    with opened(logs.state), pytest.raises(InputError, match="in use by another run"):
        logs.run(DAYS - 1)


class Api(BaseHTTPRequestHandler):
    """Takes what KFP's client and a Pushgateway's would be sent, and remembers it."""

    calls: list[tuple[str, str]]

    def answer(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        self.calls.append((f"{self.command} {self.path}", self.rfile.read(size).decode(errors="replace")))
        body: dict[str, Any] = {"experiment_id": "e1", "display_name": "higr-drift"}
        if "/runs" in self.path:
            body = {"run_id": "run-7", "display_name": "x"}
        if "healthz" in self.path:
            body = {"multi_user": False}
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def api() -> Any:
    calls: list[tuple[str, str]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Own", (Api,), {"calls": calls}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", calls
    server.shutdown()
    server.server_close()


PIPELINE = """
components:
  comp-nothing:
    executorLabel: exec-nothing
deploymentSpec:
  executors:
    exec-nothing:
      container: {image: busybox}
pipelineInfo: {name: refresh}
root:
  dag:
    tasks:
      nothing:
        componentRef: {name: comp-nothing}
        taskInfo: {name: nothing}
schemaVersion: 2.1.0
sdkVersion: kfp-2.17.0
"""


def test_a_trip_moves_the_switch_starts_the_pipeline_and_is_pushed(logs: Month, api: Any) -> None:
    host, calls = api
    logs.write_trip(DAYS)
    switch, package = logs.folder / "switch", logs.folder / "refresh.yaml"
    switch.write_text("auto\n")
    package.write_text(PIPELINE)
    target = PipelineTarget(host=f"http://{host}", packages={"category-vanished": str(package)})
    options = Options(switch=switch, pipeline=target, pushgateway=host)
    assert logs.run(DAYS, options).verdict == "trip"
    assert switch.read_text() == "baseline\n"
    started = [body for call, body in calls if call.startswith("POST") and "/runs" in call]
    assert len(started) == 1
    assert "higr-drift-category-vanished" in started[0]
    pushed = [body for call, body in calls if call == "PUT /metrics/job/higr_drift"]
    assert 'higr_drift_verdict{verdict="trip"} 1.0' in pushed[0]
    assert 'higr_drift_cause{cause="category-vanished"} 1.0' in pushed[0]
    assert 'higr_drift_switch_moves{position="baseline"} 1.0' in pushed[0]
    assert "higr_drift_pipeline_started_timestamp_seconds" in pushed[0]
    logs.run(DAYS, options)  # the same window again: nothing is moved or started a second time
    assert len([call for call, _ in calls if call.startswith("POST") and "/runs" in call]) == 1


def test_what_cannot_be_done_is_shown_and_the_verdict_still_goes_out(logs: Month) -> None:
    logs.write_trip(DAYS)
    result = logs.run(DAYS, Options(switch=logs.folder / "nowhere"))
    assert result.verdict == "trip"
    text = (logs.folder / "out" / "drift.prom").read_text()
    assert 'higr_drift_act_failed{action="switch"} 1.0' in text
    assert 'higr_drift_act_failed{action="pipeline"} 0.0' in text
    record = (logs.state / "switch.jsonl").read_text()
    assert "nowhere cannot be read" in record
