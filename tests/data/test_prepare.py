"""The stage as a whole: its report adds up, and equal input gives equal output."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from higr.config import DataConfig, SimulatorConfig, load_config
from higr.data.fingerprint import fingerprint
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.data.schemas import ITEMS, LABELLED_EVENTS, SLATES
from higr.errors import InputError

SMALL = DataConfig(simulator=SimulatorConfig(users=20, items=60, slates_per_user=5, days=7))


def test_equal_seeds_equal_tables() -> None:
    first, again, other = prepare(SMALL, 1), prepare(SMALL, 1), prepare(SMALL, 2)
    assert first.slates.equals(again.slates)
    assert first.events.equals(again.events)
    assert first.report == again.report
    assert first.report["fingerprint"] != other.report["fingerprint"]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    data = prepare(SMALL, 1)
    data.save(tmp_path / "out")
    loaded = PreparedData.load(tmp_path / "out")
    assert loaded.report == data.report
    tables = {name: getattr(loaded, name) for name in ("events", "items", "users", "slates")}
    assert fingerprint(tables) == data.report["fingerprint"]
    start = datetime.fromisoformat(data.report["validation_start"])
    assert pc.max(loaded.train_events["timestamp"]).as_py() < start


def test_schemas_and_order() -> None:
    data = prepare(SMALL, 1)
    assert (data.events.schema, data.items.schema, data.slates.schema) == (LABELLED_EVENTS, ITEMS, SLATES)
    keys = [(name, "ascending") for name in ("user_id", "timestamp", "position", "item_id")]
    assert data.events.equals(data.events.sort_by(keys))
    assert data.items.equals(data.items.sort_by("item_id"))
    assert data.slates.equals(data.slates.sort_by([("timestamp", "ascending"), ("slate_id", "ascending")]))


def test_a_user_with_one_event(good: dict[str, pa.Table], write: Callable, stage: Callable) -> None:
    lonely = good["events"].slice(100, 1)
    lonely = lonely.set_column(0, "user_id", pa.array(["lonely"])).set_column(
        3, "request_id", pa.array(["x"])
    )
    events = pa.concat_tables([good["events"], lonely])
    between = {"validation_start": datetime(2026, 3, 1, 5, 30), "test_start": datetime(2026, 3, 1, 6, 30)}
    data = stage(write(good | {"events": events}, **between))
    assert data.report["users_with_one_event"] == 1
    assert data.report["users_without_slate"] == 1
    assert data.events.filter(pc.equal(data.events["user_id"], "lonely")).num_rows == 1
    assert "lonely" in data.users["user_id"].to_pylist()
    assert "lonely" not in data.slates["user_id"].to_pylist()
    assert data.report["slates"]["short_events"] == 1


def test_the_report_adds_up(good: dict[str, pa.Table], write: Callable, stage: Callable) -> None:
    report = stage(write(good)).report
    assert sum(period["events"] for period in report["splits"].values()) == 240
    assert sum(period["slates"] for period in report["splits"].values()) == report["slates"]["slates"]
    assert report["engaged_share"] == pytest.approx(2 / 5)  # positions 3 and 4: 12 and 16 of 20 seconds
    assert report["rows"]["events"] == {"in": 240, "kept": 240, "quarantined": 0, "reasons": {}}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda t: pa.concat_tables([t.slice(0, 2), t.slice(2)]), True),
        (lambda t: t.slice(0, 3), False),
        (lambda t: t.take(pa.array([1, 0, 2, 3])), False),
        (lambda t: t.set_column(0, "text", pa.array(["a", None, "b", "c"])), False),
        (lambda t: t.set_column(0, "text", pa.array(["ab", "", "c", None])), False),
        (
            lambda t: t.set_column(
                1, "lists", pa.array([[1.0], [], [2.0, 3.0], None], pa.list_(pa.float32()))
            ),
            False,
        ),
        (lambda t: t.rename_columns(["words", "lists"]), False),
    ],
)
def test_fingerprint(change: Callable[[pa.Table], pa.Table], same: bool) -> None:
    lists = pa.array([[1.0], None, [2.0, 3.0], []], pa.list_(pa.float32()))
    table = pa.table({"text": pa.array(["a", "b", "c", None]), "lists": lists})
    assert (fingerprint({"t": change(table)}) == fingerprint({"t": table})) is same


@pytest.mark.parametrize("name", ["nano", "demo", "kuairand"])
def test_presets_have_a_data_section(name: str) -> None:
    assert load_config(name).data.source == ("kuairand" if name == "kuairand" else "simulator")


def test_nano_holds_enough_for_every_stage() -> None:
    config = load_config("nano")
    report = prepare(config.data, config.seed).report
    assert min(period["slates"] for period in report["splits"].values()) >= 50
    assert 0.2 < report["engaged_share"] < 0.6


def test_a_log_without_one_effective_view_is_refused(
    good: dict[str, pa.Table], write: Callable, stage: Callable
) -> None:
    untimed = {
        name: table.drop_columns([c for c in table.column_names if c == "duration_seconds"])
        for name, table in good.items()
    }
    with pytest.raises(InputError, match=r"none of \d+ rows is an effective view .*duration_seconds"):
        stage(write(untimed))
