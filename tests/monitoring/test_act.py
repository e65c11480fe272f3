"""Who may move the switch, when, and what is written about it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import monitoring.act as act_module
from higr.errors import InputError
from monitoring.act import Record, Rules, act, override, read_switch
from monitoring.result import DriftResult, WindowSummary
from serving.switch import Switch

NOW = datetime(2026, 3, 9, 2, tzinfo=UTC)


def result(verdict: str, day: int = 8) -> DriftResult:
    until = datetime(2026, 3, day, tzinfo=UTC)
    window = WindowSummary(since=until - timedelta(days=1), until=until, rows={}, skipped={}, notes=())
    return DriftResult(
        verdict=verdict,  # type: ignore[arg-type]
        cause="bad-alignment" if verdict == "trip" else None,
        reason="users watch less",
        bundle_version="b1",
        finished_at=NOW,
        min_rows=1,
        reference=window,
        current=window,
        columns=(),
    )


class Desk:
    """A switch, its record, and a clock."""

    def __init__(self, folder: Path, position: str = "auto") -> None:
        self.switch, self.record = folder / "switch", Record(folder / "state" / "switch.jsonl")
        self.switch.write_text(f"{position}\n")
        self.recent: list[str] = []

    def run(self, verdict: str, rules: Rules | None = None, day: int = 8, hours: float = 0) -> str | None:
        self.recent = [verdict, *self.recent]
        entry = act(
            result(verdict, day),
            self.switch,
            self.record,
            rules or Rules(),
            self.recent,
            NOW + timedelta(hours=hours),
        )
        return entry.action if entry else None

    def actions(self) -> list[str]:
        return [entry.action for entry in self.record.entries()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_trip_puts_serving_on_the_baseline_and_says_why(desk: Desk) -> None:
    serving = Switch(desk.switch)
    assert serving.position == "auto"
    assert desk.run("trip") == "moved"
    assert serving.position == "baseline"
    intent, line = map(json.loads, desk.record.path.read_text().splitlines())
    assert intent == line | {"action": "moving"}
    assert {k: line[k] for k in ("by", "action", "was", "to", "verdict", "cause", "why")} == {
        "by": "drift-job",
        "action": "moved",
        "was": "auto",
        "to": "baseline",
        "verdict": "trip",
        "cause": "bad-alignment",
        "why": "users watch less",
    }


@pytest.mark.parametrize("verdict", ["ok", "no-data", "watch", "page"])
def test_nothing_else_moves_it(desk: Desk, verdict: str) -> None:
    assert desk.run(verdict) is None
    assert read_switch(desk.switch) == "auto"
    assert not desk.record.path.exists()


@pytest.mark.parametrize("position", ["higr", "baseline"])
def test_a_persons_choice_is_left_alone_and_said_once(tmp_path: Path, position: str) -> None:
    desk = Desk(tmp_path, position)
    assert [desk.run("trip"), desk.run("trip")] == ["held", None]
    assert [desk.run("ok", Rules(releases=1)) for _ in range(3)] == [None, None, None]
    assert read_switch(desk.switch) == position


def test_two_windows_in_a_row_where_one_is_not_enough(desk: Desk) -> None:
    rules = Rules(trips=2)
    assert [desk.run(v, rules, day=d) for d, v in enumerate(("trip", "ok", "trip", "trip"), start=1)] == [
        "held",
        None,
        "held",
        "moved",
    ]


@pytest.mark.parametrize(
    ("verdicts", "actions"),
    [
        pytest.param(["trip", "ok", "ok"], ["moved", None, "released"], id="quiet"),
        pytest.param(
            ["trip", "ok", "page", "ok", "watch"], ["moved", None, None, None, "released"], id="noisy"
        ),
        pytest.param(["trip", "no-data", "no-data"], ["moved", None, None], id="silence is not health"),
    ],
)
def test_it_goes_back_after_quiet_windows(
    desk: Desk, verdicts: Sequence[str], actions: list[str | None]
) -> None:
    assert [desk.run(v, Rules(releases=2), day=d) for d, v in enumerate(verdicts, start=1)] == actions
    assert read_switch(desk.switch) == ("auto" if "released" in actions else "baseline")


def test_cool_down_after_it_went_back(desk: Desk) -> None:
    rules = Rules(releases=1, cool_down=timedelta(hours=6))
    assert [desk.run("trip", rules, 1), desk.run("ok", rules, 2)] == ["moved", "released"]
    assert desk.run("trip", rules, 3, hours=5) == "held"
    assert desk.run("trip", rules, 4, hours=7) == "moved"


def test_a_person_who_puts_it_back_is_not_overruled_for_the_same_window(desk: Desk) -> None:
    assert desk.run("trip") == "moved"
    override(desk.switch, desk.record, "auto", "maria", "looks fine to me", NOW)
    assert desk.run("trip") == "held"
    assert read_switch(desk.switch) == "auto"
    assert [(entry.by, entry.action) for entry in desk.record.entries()] == [
        ("drift-job", "moving"),
        ("drift-job", "moved"),
        ("maria", "moving"),
        ("maria", "moved"),
        ("drift-job", "held"),
    ]
    assert desk.run("trip", day=9) == "moved"


def test_a_person_who_takes_over_the_trip_keeps_it(desk: Desk) -> None:
    assert desk.run("trip") == "moved"
    override(desk.switch, desk.record, "baseline", "maria", "until Monday", NOW)
    assert desk.run("ok", Rules(releases=1), day=9) is None
    assert read_switch(desk.switch) == "baseline"


@pytest.mark.parametrize("content", [None, "off", ""], ids=["missing", "another word", "empty"])
def test_a_switch_that_cannot_be_read_is_not_moved(desk: Desk, content: str | None) -> None:
    desk.switch.unlink() if content is None else desk.switch.write_text(content)
    with pytest.raises(InputError, match="switch"):
        desk.run("trip")
    assert not desk.record.path.exists()


def test_a_torn_line_is_passed_over_and_the_next_stands_on_its_own(desk: Desk) -> None:
    desk.run("trip")
    with desk.record.path.open("a") as file:
        file.write('{"at": "2026-')
    override(desk.switch, desk.record, "auto", "maria", "", NOW)
    assert desk.actions() == ["moving", "moved"] * 2
    assert desk.record.path.read_text().count("\n") == 5


@pytest.mark.parametrize("reached", [False, True], ids=["before the switch", "after it"])
def test_a_run_that_is_killed_while_it_moves(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, reached: bool
) -> None:
    def killed(path: Path, position: Any) -> None:
        if reached:
            path.write_text(f"{position}\n")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(act_module, "write_switch", killed)
        with pytest.raises(KeyboardInterrupt):
            desk.run("trip")
    assert desk.run("trip") == (None if reached else "moved")
    assert read_switch(desk.switch) == "baseline"
    assert desk.run("ok", Rules(releases=1), day=9) == "released"


def test_the_record_comes_before_the_move(desk: Desk, monkeypatch: Any) -> None:
    desk.record.path.parent.mkdir(parents=True)
    desk.record.path.mkdir()
    with pytest.raises((InputError, OSError)):
        desk.run("trip")
    assert read_switch(desk.switch) == "auto"
