"""The command line and the job end to end: what is written, and one line for what cannot be used."""

import json
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from higr.bundle import Bundle
from monitoring import __main__ as cli
from monitoring.job import run_drift
from monitoring.result import DriftResult

Write = Callable[..., Any]
FILES = ["drift.html", "drift.json", "drift.prom", "evidently.html"]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["monitoring", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def arguments(bundle: Bundle, logs: Any, out: Path) -> dict[str, object]:
    return {
        "--bundle": bundle.path,
        "--predictions": logs.predictions,
        "--feedback": logs.feedback,
        "--out": out,
    }


def flat(options: dict[str, object]) -> list[object]:
    return [word for option in options.items() for word in option]


def test_job_writes_the_pages_the_result_and_the_gauges(
    tmp_path: Path, bundle: Bundle, write: Write, traffic: Any
) -> None:
    out = tmp_path / "out"
    logs = write(traffic(seed=2))
    result = run_drift(bundle.path, logs.predictions, logs.feedback, out)
    assert sorted(p.name for p in out.iterdir()) == FILES
    assert DriftResult.load(out / "drift.json") == result
    assert result.bundle_version == bundle.version
    assert 'higr_drift_verdict{verdict="ok"} 1.0' in (out / "drift.prom").read_text()
    assert "served_code_1" in (out / "evidently.html").read_text()


def test_the_same_logs_give_the_same_verdict_and_stale_pages_go(
    tmp_path: Path, bundle: Bundle, write: Write, traffic: Any
) -> None:
    out = tmp_path / "out"
    logs = write(traffic(seed=2, slates=300))
    first, second = (run_drift(bundle.path, logs.predictions, logs.feedback, out) for _ in range(2))
    assert first.columns == second.columns
    for part in logs.predictions.iterdir():
        part.write_bytes(b"not parquet")
    for part in logs.feedback.iterdir():
        part.unlink()
    third = run_drift(bundle.path, logs.predictions, logs.feedback, out)
    assert third.verdict == "no-data"
    assert third.current.skipped == {"predictions.part": 2}
    assert sorted(p.name for p in out.iterdir()) == FILES[:3]


@pytest.mark.parametrize(
    "change",
    [{"seed": 2}, {"seed": 8, "slates": 30}, {"seed": 6, "fallback": 0.1}],
    ids=["ok", "no-data", "page"],
)
def test_every_verdict_exits_0(
    tmp_path: Path, bundle: Bundle, write: Write, traffic: Any, run: Any, change: Any, request: Any
) -> None:
    options = arguments(bundle, write(traffic(**change)), tmp_path / "out")
    code, out, err = run("drift", *flat(options))
    expected = request.node.callspec.id
    assert (code, err) == (0, "")
    assert f"verdict {expected}: " in out
    assert "drift.html" in out


def test_json_is_the_result(tmp_path: Path, bundle: Bundle, write: Write, traffic: Any, run: Any) -> None:
    day = traffic(seed=8, slates=30)
    options = arguments(bundle, write(day), tmp_path / "out") | {
        "--since": "2026-03-01",
        "--until": "2026-03-01T00:10Z",
    }
    code, out, err = run("drift", *flat(options), "--json")
    assert (code, err) == (0, "")
    printed = json.loads(out)
    assert printed == json.loads((tmp_path / "out" / "drift.json").read_text())
    assert printed["current"]["rows"] == {"feedback": 50, "predictions": 10}
    assert printed["current"]["since"] == "2026-03-01T00:00:00Z"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"--bundle": "nowhere"}, "nowhere is not a bundle: it has no manifest.json", id="bundle"
        ),
        pytest.param({"--predictions": "gone"}, "log directory gone does not exist", id="predictions"),
        pytest.param({"--feedback": "gone"}, "log directory gone does not exist", id="feedback"),
        pytest.param({"--out": __file__}, "cannot be made a directory", id="out is a file"),
        pytest.param({"--since": "yesterday"}, "--since 'yesterday' is not ISO 8601", id="since"),
        pytest.param({"--since": "2026-03-02", "--until": "2026-03-01"}, "is not before until", id="period"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    tmp_path: Path,
    bundle: Bundle,
    write: Write,
    traffic: Any,
    run: Any,
    change: dict[str, object],
    message: str,
) -> None:
    options = arguments(bundle, write(traffic(slates=10)), tmp_path / "out") | change
    code, out, err = run("drift", *flat(options))
    assert (code, out) == (2, "")
    assert err.startswith("monitoring: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out" / "drift.json").exists()


def test_flipped_byte_in_the_reference(
    tmp_path: Path, bundle: Bundle, write: Write, traffic: Any, run: Any
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle.path, broken)
    part = broken / "reference" / "feedback.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    options = arguments(bundle, write(traffic(slates=10)), tmp_path / "out") | {"--bundle": broken}
    code, _, err = run("drift", *flat(options))
    assert code == 2
    assert "reference/feedback.parquet does not match its checksum" in err


def test_export_on_a_taken_port_is_one_line(tmp_path: Path, run: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = run(
            "export", "--result", tmp_path / "x.json", "--port", port, "--address", "127.0.0.1"
        )
    assert (code, out) == (2, "")
    assert f"cannot listen on 127.0.0.1:{port}" in err
    assert err.count("\n") == 1
