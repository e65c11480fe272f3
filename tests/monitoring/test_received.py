"""Both logs, joined as they grow: what is counted, of which bundle, and when."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from higr.bundle import Bundle
from higr.data.logs import FEEDBACK, PREDICTIONS
from higr.errors import InputError
from monitoring.__main__ import app
from monitoring.received import Received
from monitoring.received_exporter import ReceivedCollector

START = 1_800_000_000.0
SETTLE = 60.0
SUMS = {
    "slates": 1.0,
    "watch_seconds": 8.0,
    "watch_seconds_squares": 64.0,
    "effective_view_share": 0.5,
    "effective_view_share_squares": 0.25,
}
"""Of one slate of two items, of which one was watched for eight of its ten seconds."""


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for side in ("stable", "canary"):
        for log in ("predictions", "feedback"):
            (tmp_path / side / log).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def received(logs: Path, nano_bundle: Path) -> Received:
    sides = ("stable", "canary")
    return Received(
        Bundle.open(nano_bundle),
        [logs / side / "predictions" for side in sides],
        [logs / side / "feedback" for side in sides],
        SETTLE,
        START,
    )


def slate(request: str, version: str, at: float, items: tuple[str, ...] = ("a", "b")) -> dict[str, Any]:
    return {
        "request_id": request,
        "timestamp": datetime.fromtimestamp(at, UTC),
        "user_id": "u",
        "source": "higr",
        "model_version": version,
        "item_ids": list(items),
        "scores": [0.0] * len(items),
        "semantic_ids": [[0]] * len(items),
        "history_length": 0,
        "degraded": False,
        "latency_ms": 1.0,
    }


def event(
    request: str | None, item: str, seconds: float | None, duration: float | None = 10.0
) -> dict[str, Any]:
    return {
        "event_id": f"{request}-{item}-{seconds}",
        "user_id": "u",
        "item_id": item,
        "timestamp": datetime.fromtimestamp(START, UTC),
        "request_id": request,
        "watch_seconds": seconds,
        "duration_seconds": duration,
    }


def write(folder: Path, schema: pa.Schema, *rows: dict[str, Any]) -> None:
    name = f"part-{len(list(folder.iterdir()))}.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), folder / name)


def test_a_slate_is_counted_once_its_time_is_over(logs: Path, received: Received) -> None:
    write(logs / "stable" / "predictions", PREDICTIONS, slate("1", "v1", START + 1))
    # Feedback comes to the other side, before its slate is in the log, and again.
    write(logs / "canary" / "feedback", FEEDBACK, event("1", "a", 9.0), event("1", "b", 2.0))
    received.read(START + 30)
    assert received.tallies == {}
    write(logs / "canary" / "feedback", FEEDBACK, event("1", "b", 3.0))
    received.read(START + 1 + SETTLE)
    received.read(START + 2 + SETTLE)
    tally = received.tallies["v1"]
    assert (tally.slates, tally.watch, tally.watch_squares) == (1, 12.0, 144.0)
    assert (tally.views, tally.views_squares) == (0.5, 0.25)
    assert received.fates == {"joined": 3, "no_duration": 0, "late": 0, "unknown": 0}
    assert received.settled_until == START + 1


def test_what_was_not_watched_counts_too_and_versions_stay_apart(logs: Path, received: Received) -> None:
    write(
        logs / "stable" / "predictions", PREDICTIONS,
        *(slate(f"s{i}", "v1", START + 1) for i in range(3)),
    )  # fmt: skip
    write(logs / "canary" / "predictions", PREDICTIONS, slate("c", "v2", START + 1))
    write(logs / "stable" / "feedback", FEEDBACK, event("c", "a", 10.0), event("s1", "a", 4.0))
    received.read(START + 1 + SETTLE)
    assert {v: (t.slates, t.watch) for v, t in received.tallies.items()} == {"v1": (3, 4.0), "v2": (1, 10.0)}


@pytest.mark.parametrize(
    ("rows", "fate"),
    [
        ((event("nobody", "a", 1.0),), "unknown"),
        ((event(None, "a", 1.0),), "unknown"),
        ((event("1", "a", math.nan),), "unknown"),
        ((event("1", "a", -1.0),), "unknown"),
    ],
)
def test_feedback_that_belongs_to_nothing_is_counted_apart(
    logs: Path, received: Received, rows: tuple[dict[str, Any], ...], fate: str
) -> None:
    write(logs / "stable" / "predictions", PREDICTIONS, slate("1", "v1", START + 1))
    write(logs / "stable" / "feedback", FEEDBACK, *rows)
    received.read(START + 1)
    received.read(START + 2 * SETTLE)
    assert received.fates[fate] == 1
    assert received.tallies["v1"].watch == 0


def test_late_feedback_an_item_not_shown_and_a_row_delivered_twice(logs: Path, received: Received) -> None:
    write(logs / "stable" / "predictions", PREDICTIONS, slate("1", "v1", START + 1))
    write(logs / "stable" / "feedback", FEEDBACK, event("1", "never shown", 8.0))
    received.read(START + 1 + SETTLE)
    write(logs / "stable" / "predictions", PREDICTIONS, slate("1", "v1", START + 1))
    write(logs / "stable" / "feedback", FEEDBACK, event("1", "a", 8.0))
    received.read(START + 5 + 2 * SETTLE)
    assert (received.tallies["v1"].slates, received.tallies["v1"].watch) == (1, 0.0)
    assert received.fates == {"joined": 1, "no_duration": 0, "late": 1, "unknown": 0}


def test_a_view_of_an_item_whose_length_nobody_knows_is_told(
    logs: Path, received: Received, nano_bundle: Path
) -> None:
    old = Bundle.open(nano_bundle).items["item_id"][0].as_py()
    write(logs / "stable" / "predictions", PREDICTIONS, slate("1", "v1", START + 1, (old, "new", "newer")))
    write(
        logs / "stable" / "feedback",
        FEEDBACK,
        event("1", old, 9.0, None),
        event("1", "new", 9.0, None),
        event("1", "newer", 9.0, 10.0),
        event("1", "newer", None, None),
    )
    received.read(START + 1 + SETTLE)
    assert received.fates == {"joined": 3, "no_duration": 1, "late": 0, "unknown": 0}
    assert received.tallies["v1"].watch == 27.0


def test_slates_from_before_the_start_and_broken_parts_are_left_out(logs: Path, received: Received) -> None:
    (logs / "stable" / "predictions" / "part-broken.parquet").write_bytes(b"no Parquet")
    write(logs / "stable" / "predictions", PREDICTIONS, slate("0", "v1", START - 1))
    write(logs / "stable" / "predictions", PREDICTIONS, slate("1", "v1", START + 1))
    received.read(START + 1 + SETTLE)
    assert received.tallies["v1"].slates == 1


def test_memory_is_let_go(logs: Path, received: Received) -> None:
    write(logs / "stable" / "predictions", PREDICTIONS, slate("1", "v1", START + 1))
    received.read(START + 1 + SETTLE)
    received.read(START + 2 + 6 * SETTLE)
    assert received._waiting == {}
    assert received._counted == {}


def test_metrics_of_what_was_counted(logs: Path, received: Received) -> None:
    write(logs / "stable" / "predictions", PREDICTIONS, slate("1", "v1", START + 1))
    write(logs / "stable" / "feedback", FEEDBACK, event("1", "a", 8.0))
    collector, registry = ReceivedCollector(received), CollectorRegistry()
    registry.register(collector)
    assert registry.get_sample_value("higr_outcome_slates_total", {"version": "v1"}) is None
    collector.read(START + 1 + SETTLE)
    seen = {name: registry.get_sample_value(f"higr_outcome_{name}_total", {"version": "v1"}) for name in SUMS}
    assert seen == SUMS
    assert registry.get_sample_value("higr_outcome_feedback_events_total", {"fate": "joined"}) == 1
    assert registry.get_sample_value("higr_outcome_settled_timestamp_seconds") == START + 1


def test_a_missing_folder_is_told(nano_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"log directory .*nowhere does not exist"):
        Received(Bundle.open(nano_bundle), [tmp_path / "nowhere"], [tmp_path], SETTLE, START)
    answer = CliRunner().invoke(
        app,
        [
            *("outcomes", "--bundle", str(nano_bundle), "--settle", "0"),
            *("--predictions", str(tmp_path), "--feedback", str(tmp_path)),
        ],
    )
    assert answer.exit_code == 2
