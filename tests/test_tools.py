"""A missing tool skips a test by hand and fails it in CI."""

from pathlib import Path

import pytest

from tests import tools

SKIP, FAIL = pytest.skip.Exception, pytest.fail.Exception


@pytest.mark.parametrize(("ci", "outcome"), [("", SKIP), ("false", SKIP), ("true", FAIL)])
def test_missing(
    ci: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tools.PLACES, "helm", (tmp_path / "helm", "run make system-deps"))
    monkeypatch.setenv("CI", ci)

    with pytest.raises(outcome, match=r"helm is not at .*helm: run make system-deps"):
        tools.require("helm")


def test_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tools.PLACES, "helm", (tmp_path, "run make system-deps"))

    assert tools.require("helm") == tmp_path
