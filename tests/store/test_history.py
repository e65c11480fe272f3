"""Run: pytest tests/store/test_history.py"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from higr.errors import StoreError
from higr.store import history
from higr.store.history import Act, Index, append, read, summed
from higr.store.root import Root


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root.open(str(tmp_path))


def _acts(root: Root) -> list[Path]:
    return sorted((Path(root.path) / "history").iterdir())


def test_two_who_act_at_once_lose_nothing_and_are_told(root: Root) -> None:
    for version in ("a", "b", "c"):
        append(root, read(root), "publish", version, "ci")
    append(root, read(root), "promote", "a", "ci")
    seen = read(root)
    append(root, seen, "promote", "b", "one")
    append(root, seen, "promote", "c", "two")
    index = read(root)
    assert (index.production, index.previous) == ("c", "b")
    assert [act.by for act in index.at_once] == ["two"]
    seen = read(root)
    append(root, seen, "rollback", "b", "one")
    append(root, seen, "rollback", "b", "two")
    assert read(root).production == "b"


def test_an_act_is_never_before_the_one_it_follows(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    first = append(root, read(root), "publish", "a", "ci")

    class Slow(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Slow":
            return cls(2020, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(history, "datetime", Slow)
    second = append(root, read(root), "promote", "a", "a machine with a slow clock")
    assert second.at == first.at + timedelta(microseconds=1)
    assert read(root).production == "a"


def test_an_altered_a_missing_and_a_newer_act_are_named(root: Root) -> None:
    append(root, read(root), "publish", "a", "ci")
    append(root, read(root), "promote", "a", "ci")
    append(root, read(root), "publish", "b", "ci")
    first, second, _ = _acts(root)
    content = second.read_text()
    second.write_text(content.replace('"version": "a"', '"version": "b"'))
    with pytest.raises(StoreError, match=f"{second.name} does not match its checksum"):
        read(root)
    second.write_text(content.replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(StoreError, match="has schema version 2; this version of higr reads 1"):
        read(root)
    second.write_text("{")
    with pytest.raises(StoreError, match="does not match its checksum"):
        read(root)
    second.write_text(content)
    first.unlink()
    with pytest.raises(StoreError, match=f"{first.name} is missing, {second.name} follows it"):
        read(root)


def test_a_half_written_act_does_not_count(root: Root) -> None:
    append(root, read(root), "publish", "a", "ci")
    _acts(root)[0].rename(_acts(root)[0].with_suffix(".json.part"))
    assert read(root).acts == ()


@given(st.lists(st.tuples(st.sampled_from(["promote", "rollback"]), st.sampled_from("abcd")), max_size=20))
def test_production_is_what_a_stack_says(steps: list[tuple[str, str]]) -> None:
    """Against a stack kept by hand, with the acts a store would write."""
    stack: list[str] = []
    acts: list[Act] = []

    def act(kind: str, version: str) -> None:
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=len(acts))
        after = acts[-1].name if acts else ""
        acts.append(Act(kind=kind, version=version, at=at, by="ci", after=after))  # type: ignore[arg-type]

    for version in "abcd":
        act("publish", version)
    for kind, version in steps:
        if kind == "promote" and stack[-1:] != [version]:
            stack.append(version)
            act("promote", version)
        elif kind == "rollback" and len(stack) > 1:
            stack.pop()
            act("rollback", stack[-1])
    index: Index = summed(acts)
    assert index.promoted == tuple(stack)
    assert index.at_once == ()
