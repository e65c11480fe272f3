"""Run: pytest tests/store/test_cli.py

`higr bundle` as its user meets it.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from higr.bundle import Bundle
from higr.cli import main

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def higr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path) -> Call:
    """Exit code, standard output, standard error."""
    monkeypatch.setenv("HIGR_STORE", str(tmp_path / "store"))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["higr", "bundle", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    return call


def test_from_publishing_to_a_rollback(higr: Call, bundles: Sequence[Bundle], tmp_path: Path) -> None:
    a, b = bundles[0], bundles[1]
    code, out, _ = higr("publish", a.path, "--json", "--by", "ci")
    uri = f"{tmp_path}/store/versions/{a.version}"
    assert (code, json.loads(out)) == (0, {"version": a.version, "new": True, "uri": uri})
    assert higr("publish", a.path)[1] == f"already there: {uri}\n"
    higr("publish", b.path, "--by", "ci")
    higr("promote", a.version, "--by", "release", "--reason", "first")
    code, out, _ = higr("promote", b.version, "--by", "release", "--reason", "fewer items")
    assert out == f"in production: {tmp_path}/store/versions/{b.version} (before: {a.version})\n"
    listed = json.loads(higr("list", "--json")[1])
    assert (listed["production"], listed["previous"]) == (b.version, a.version)
    assert [held["state"] for held in listed["versions"]] == ["previous", "production"]
    _, out, err = higr("list")
    assert f"{b.version} │ production │" in out
    assert err == ""
    higr("rollback", "--by", "on-call", "--reason", "pager")
    acts = json.loads(higr("history", "--json")[1])
    assert [(act["kind"], act["version"], act["by"], act["reason"]) for act in acts] == [
        ("rollback", a.version, "on-call", "pager"),
        ("promote", b.version, "release", "fewer items"),
        ("promote", a.version, "release", "first"),
        ("publish", b.version, "ci", ""),
        ("publish", a.version, "ci", ""),
    ]
    _, out, _ = higr("history")
    assert out.index("rollback") < out.index("promote") < out.index("publish")


def test_a_difference_in_words_and_as_json(higr: Call, bundles: Sequence[Bundle]) -> None:
    a, b = bundles[0], bundles[1]
    higr("publish", a.path)
    higr("publish", b.path)
    _, out, _ = higr("diff", a.version, b.version)
    assert out.splitlines() == [
        "other parts: catalog.parquet, items.parquet, trained.parquet",
        f"1 items gone: {a.catalog.item_ids[0]}",
    ]
    assert json.loads(higr("diff", a.version, b.version, "--json")[1])["removed"] == [a.catalog.item_ids[0]]
    assert higr("diff", a.version, a.version)[1] == f"{a.version} and {a.version} hold the same\n"


def test_fetch_and_retain(higr: Call, bundles: Sequence[Bundle], tmp_path: Path) -> None:
    for bundle in bundles[:3]:
        higr("publish", bundle.path)
    assert higr("fetch", bundles[2].version, "--out", tmp_path / "out")[0] == 0
    assert Bundle.open(tmp_path / "out").version == bundles[2].version
    assert higr("retain", "--keep", 1)[1] == f"removed: {bundles[0].version}, {bundles[1].version}\n"
    assert "retired" in higr("list")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("promote", "0123"), "version 0123 was never published; `higr bundle list` shows what is there"),
        (("rollback",), "nothing to roll back to"),
        (("fetch", "0123", "--out", "{tmp}/x"), "was never published"),
        (("publish", "{tmp}/none"), "is not a bundle"),
        (("list", "--store", "ftp://host/x"), "ftp"),
        (("list", "--store", "{tmp}/file"), "store"),
    ],
)
def test_what_cannot_be_is_one_line(
    higr: Call, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "file").write_text("not a folder")
    code, out, err = higr(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("higr: ")
    assert message in err
    assert err.count("\n") == 1
