import json
from dataclasses import asdict
from io import StringIO

import pytest
from rich.console import Console

from components.events import Event
from pipelines import watch
from pipelines.graph import REALIGN, STAGES
from pipelines.watch import Watcher


def follow(tmp_path, events, *, terminal=False, fails=False, graph=STAGES):
    """The watcher after it has seen the events, and what it printed."""
    path, screen = tmp_path / "events.jsonl", StringIO()
    console = Console(file=screen, force_terminal=terminal, width=100)
    try:
        with Watcher(path, console, graph) as watcher:
            with path.open("a") as file:
                file.writelines(json.dumps(asdict(event)) + "\n" for event in events)
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    return watcher, screen.getvalue()


def ran(*names):
    return [event for n in names for event in (Event(n, "started"), Event(n, "finished", seconds=1.25))]


def test_a_line_as_a_stage_starts_and_one_as_it_ends(tmp_path):
    _, printed = follow(tmp_path, ran("prepare"), fails=True)
    assert printed.splitlines() == ["  Prepare data ...", "✓ Prepare data (1.2 s)"]


def test_stages_without_events_were_in_the_cache(tmp_path):
    watcher, printed = follow(tmp_path, ran("evaluate", "bundle"))
    assert printed.splitlines() == [
        "✓ Prepare data (from the cache)",
        "✓ Learn semantic IDs (from the cache)",
        "✓ Pretrain (from the cache)",
        "✓ Align on preferences (from the cache)",
        "✓ Fit the incumbent (from the cache)",
        "  Evaluate ...",
        "✓ Evaluate (1.2 s)",
        "  Assemble the bundle ...",
        "✓ Assemble the bundle (1.2 s)",
        "✓ Materialise features (from the cache)",
    ]
    assert watcher.ran == {"evaluate", "bundle"}


def test_what_is_never_cached_and_did_not_run_is_not_told(tmp_path):
    watcher, printed = follow(tmp_path, ran("production", "realign"), graph=REALIGN)
    assert printed.splitlines() == [
        "  Fetch the bundle in production ...",
        "✓ Fetch the bundle in production (1.2 s)",
        "✓ Prepare data (from the cache)",
        "  Align on the last hours ...",
        "✓ Align on the last hours (1.2 s)",
    ]
    assert watcher.last("realign") == Event("realign", "finished", seconds=1.25)
    assert watcher.last("gate") is None


def test_after_a_failure_nothing_is_said_of_stages_that_never_came(tmp_path):
    events = [Event("tokenize", "started"), Event("tokenize", "failed", seconds=3, text="collision 0.5")]
    _, printed = follow(tmp_path, events, fails=True)
    assert printed.splitlines() == [
        "✓ Prepare data (from the cache)",
        "  Learn semantic IDs ...",
        "✗ Learn semantic IDs (3.0 s)",
    ]


@pytest.mark.parametrize(
    ("last", "failure"),
    [
        ([Event("align", "started"), Event("align", "failed", text="no pairs")], ("align: no pairs", True)),
        (
            [Event("align", "started"), Event("align", "crashed", text="KeyError: 1")],
            ("align: KeyError: 1", False),
        ),
        (
            [Event("align", "started"), Event("align", "progress", label="align", done=1, total=2)],
            ("align: killed, as when memory runs out", False),
        ),
        ([], ("a stage could not start", False)),
    ],
)
def test_the_reason(tmp_path, last, failure):
    watcher, _ = follow(tmp_path, [*ran("prepare"), *last], fails=True)
    assert watcher.failure() == failure


def test_reports_are_remembered(tmp_path):
    watcher, _ = follow(tmp_path, [Event("tokenize", "started"), Event("tokenize", "report", text="/x/r")])
    assert {name: str(path) for name, path in watcher.reports.items()} == {"tokenize": "/x/r"}


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, 2), (3600.0, 0)])
def test_progress_without_a_terminal_is_a_line_now_and_then(tmp_path, monkeypatch, seconds, lines):
    monkeypatch.setattr(watch, "PLAIN_EVERY", seconds)
    steps = [Event("pretrain", "progress", label="pretrain", done=done, total=9) for done in (3, 6)]
    _, printed = follow(tmp_path, [Event("pretrain", "started"), *steps], fails=True)
    shown = [line for line in printed.splitlines() if line.startswith("    ")]
    assert shown == ["    pretrain: 3 of 9", "    pretrain: 6 of 9"][:lines]


def test_a_terminal_gets_a_bar_that_goes_away(tmp_path):
    step = Event("pretrain", "progress", label="validation", done=3, total=9)
    _, printed = follow(
        tmp_path, [Event("pretrain", "started"), step, *ran("pretrain")[1:]], terminal=True, fails=True
    )
    assert "✓ Pretrain (1.2 s)" in printed
    assert "3/9" not in printed.splitlines()[-1]
