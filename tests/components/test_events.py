import json
from dataclasses import asdict

import pytest

from components.events import VARIABLE, Event, Tail, emit


def test_what_is_emitted_arrives_once_and_in_order(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv(VARIABLE, str(path))
    tail = Tail(path)
    assert list(tail()) == []
    first = [Event("align", "started"), Event("align", "progress", label="验证\nx", done=3, total=10)]
    for event in first:
        emit(event)
    assert list(tail()) == first
    last = Event("align", "failed", seconds=1.5, text="why")
    emit(last)
    assert list(tail()) == [last]
    assert list(tail()) == []


def test_nothing_is_written_where_nobody_watches(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    emit(Event("align", "started"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_half_a_line_waits_for_its_other_half(tmp_path, cut):
    path = tmp_path / "events.jsonl"
    line = json.dumps(asdict(Event("prepare", "finished", seconds=2.0))).encode() + b"\n"
    tail = Tail(path)
    path.write_bytes(line + line[:cut])
    assert len(list(tail())) == 1
    assert list(tail()) == []
    with path.open("ab") as file:
        file.write(line[cut:])
    assert list(tail()) == [Event("prepare", "finished", seconds=2.0)]
