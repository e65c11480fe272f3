"""The result file: what is written is what is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from higr.errors import InputError
from monitoring.result import DriftResult


def test_round_trip(tmp_path: Path, judge: Callable[..., Any], traffic: Any) -> None:
    for change in ({"seed": 2}, {"seed": 8, "slates": 30}):
        result = judge(traffic(**change))[0]
        result.save(tmp_path / "drift.json")
        assert DriftResult.load(tmp_path / "drift.json") == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "fine"}, "verdict: Input should be"),
        ({"columns": None}, "columns: Input should be"),
        ({"schema_version": 2}, "schema_version: Input should be 1"),
        ({"mood": "good"}, "mood: Extra inputs"),
    ],
)
def test_another_document_is_refused(
    tmp_path: Path, judge: Callable[..., Any], traffic: Any, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "drift.json"
    judge(traffic(seed=2))[0].save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message) as caught:
        DriftResult.load(path)
    assert "\n" not in str(caught.value)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        DriftResult.load(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"verdict": "ok"')
    with pytest.raises(InputError, match="is not JSON"):
        DriftResult.load(tmp_path / "half.json")
