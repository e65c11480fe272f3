"""The pipeline, by KFP's local runner, every stage for real."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from higr.bundle import Bundle
from higr.data.prepared import PreparedData
from higr.evaluation.results import Evaluation
from pipelines.graph import STAGES
from tests.pipelines.tiny import OVERRIDES

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]


@dataclass
class Done:
    code: int
    summary: dict
    told: list[str]
    out: Path

    @property
    def ran(self):
        return {stage["name"] for stage in self.summary["stages"] if not stage["cached"]}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs `python -m pipelines run` on the tiny configuration, always in the same directory."""
    out = tmp_path_factory.mktemp("runs") / "tiny"

    def go(out: Path = out, **changes) -> Done:
        settings = OVERRIDES | {field.replace("__", "."): value for field, value in changes.items()}
        command = [sys.executable, "-m", "pipelines", "run", "--config", "nano", "--json", "--out", str(out)]
        for field, value in settings.items():
            command += ["--set", f"{field}={value}"]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=1800)
        log = out / "pipeline.log"
        assert done.returncode in {0, 2}, done.stderr + (log.read_text()[-5000:] if log.exists() else "")
        return Done(
            done.returncode,
            json.loads(done.stdout) if done.stdout else {},
            done.stderr.splitlines(),
            out,
        )

    return go


@pytest.fixture(scope="module")
def first(run):
    return run()


def test_it_leaves_what_people_look_for(first):
    assert first.ran == set(STAGES)
    assert json.loads((first.out / "summary.json").read_text()) == first.summary
    bundle = Bundle.open(first.out / "bundle")
    figures = {stage["name"]: stage["figures"] for stage in first.summary["stages"]}
    assert figures["bundle"]["version"] == bundle.version
    assert figures["prepare"]["users"] == 60
    assert figures["prepare"]["fingerprint"] == bundle.manifest.data_fingerprint[:12]
    assert bundle.manifest.config["training"]["epochs"] == 1
    assert Evaluation.load(first.out).slates == 40
    assert PreparedData.load(first.out / "data").users.num_rows == 60
    assert (first.out / "features" / "online.db").is_file()
    assert {"data", "bundle", "features"} <= set(first.summary["paths"])
    for page in ("tokenizer", "pairs", "evaluation"):
        assert "<html" in (first.out / "reports" / f"{page}.html").read_text().lower()
    assert all(stage["seconds"] > 0 for stage in first.summary["stages"])
    assert all(Path(path).exists() for path in first.summary["paths"].values() if isinstance(path, str))


def test_it_says_what_it_does(first):
    for stage in STAGES.values():
        assert f"  {stage.title} ..." in first.told
        assert any(line.startswith(f"✓ {stage.title} (") and "cache" not in line for line in first.told)
    assert not [line for line in first.told if "Warning" in line or "Traceback" in line]


def test_the_next_run_is_all_from_the_cache(run, first):
    second = run()
    assert second.ran == set()
    assert [line for line in second.told if "(from the cache)" not in line] == []
    assert [s["figures"] for s in second.summary["stages"]] == [s["figures"] for s in first.summary["stages"]]
    assert [s["seconds"] for s in second.summary["stages"]] == [s["seconds"] for s in first.summary["stages"]]


def test_a_changed_section_runs_its_stages_and_those_downstream(run, first):
    changed = run(evaluation__bootstrap=101)
    assert changed.ran == {"evaluate", "bundle"}
    assert Evaluation.load(first.out).resamples == 101
    assert Bundle.open(first.out / "bundle").manifest.config["evaluation"]["bootstrap"] == 101


def test_a_closed_gate_ends_with_its_reason_and_no_bundle(run, first, tmp_path):
    closed = run(tmp_path / "closed", tokenizer__gate__min_consistency=1)
    assert closed.code == 2
    assert closed.summary == {}
    assert closed.told[-1].startswith("higr: tokenize: ")
    assert "consistency" in closed.told[-1]
    assert str(closed.out / "pipeline.log") in closed.told[-1]
    assert "Traceback" not in (closed.out / "pipeline.log").read_text()
    assert sorted(path.name for path in closed.out.iterdir()) == [".kfp", "pipeline.log", "reports"]
    assert [page.name for page in (closed.out / "reports").iterdir()] == ["tokenizer.html"]
