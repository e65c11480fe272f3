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
from higr.files import write_table
from higr.store.store import BundleStore
from pipelines.graph import REALIGN, REFRESH, STAGES, TRAINING
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

    def go(out: Path = out, pipeline: str = "training", parameters: dict | None = None, **changes) -> Done:
        settings = OVERRIDES | {field.replace("__", "."): value for field, value in changes.items()}
        command = [sys.executable, "-m", "pipelines", "run", pipeline]
        command += ["--config", "nano", "--json", "--out", str(out)]
        for name, value in (parameters or {}).items():
            command += ["--param", f"{name}={value}"]
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
def store(tmp_path_factory):
    return str(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def first(run, store):
    """With a store, where nothing is in production yet; then its bundle is."""
    done = run(parameters={"store": store})
    version = Bundle.open(done.out / "bundle").version
    BundleStore(store).promote(version, by="test")
    return done


def test_it_leaves_what_people_look_for(first):
    assert first.ran == set(TRAINING)
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


def test_what_it_published_is_in_the_store(first, store):
    figures = {stage["name"]: stage["figures"] for stage in first.summary["stages"]}
    version = figures["bundle"]["version"]
    assert figures["gate"] == {"passed": 1, "compared": 0}
    assert figures["publish"] == {"version": version, "uri": f"{store}/versions/{version}", "new": 1}
    (published,) = (act for act in BundleStore(store).index().acts if act.kind == "publish")
    assert published.version == version
    assert published.by.startswith("higr-training ")


def test_it_says_what_it_does(first):
    for stage in TRAINING.values():
        assert f"  {stage.title} ..." in first.told
        assert any(line.startswith(f"✓ {stage.title} (") and "cache" not in line for line in first.told)
    assert not [line for line in first.told if "Warning" in line or "Traceback" in line]


def test_the_next_run_is_all_from_the_cache(run, first):
    second = run()
    assert second.ran == set()
    assert {stage["name"] for stage in second.summary["stages"]} == set(STAGES)
    assert [line for line in second.told if "(from the cache)" not in line] == []
    for each in ("figures", "seconds"):
        shared = [s[each] for s in first.summary["stages"] if s["name"] in STAGES]
        assert [s[each] for s in second.summary["stages"]] == shared


def test_new_items_go_into_the_bundle_in_production(run, first, store, tmp_path):
    """In the same directory: data and features come from the training's results."""
    before = Bundle.open(first.out / "bundle")
    new = before.items.slice(0, 2).set_column(0, before.items.schema.field(0), [["new-1", "new-2"]])
    write_table(tmp_path / "items.parquet", new)
    gone = before.catalog.item_ids[0]
    given = {"store": store, "items": tmp_path / "items.parquet", "remove": gone}
    done = run(pipeline="refresh", parameters=given)
    assert done.ran == {"production", "update_catalogue", "publish"}
    assert set(REFRESH) == {stage["name"] for stage in done.summary["stages"]}
    figures = {stage["name"]: stage["figures"] for stage in done.summary["stages"]}
    assert (figures["update_catalogue"]["added"], figures["update_catalogue"]["removed"]) == (2, 1)
    index = BundleStore(store).index()
    assert index.production == before.version, "publishing puts nothing in production"
    fetched = BundleStore(store).fetch(figures["publish"]["version"], tmp_path / "fetched")
    assert {"new-1", "new-2"} <= set(fetched.catalog.item_ids)
    assert gone not in fetched.catalog.item_ids
    assert fetched.manifest.parents == (before.version,)
    assert (done.out / "features" / "online.db").is_file()


def test_the_last_hours_move_the_model_in_production(run, first, store):
    production = BundleStore(store).index().production
    # Forty slates decide nothing; what the gate refuses is tested where it can be told.
    done = run(pipeline="realign", parameters={"store": store, "hours": 72}, gate__margin=0.99)
    assert done.code == 0, done.told
    assert done.ran == set(REALIGN) - {"prepare"}
    figures = {stage["name"]: stage["figures"] for stage in done.summary["stages"]}
    assert figures["realign"]["parent"] == figures["gate"]["production"] == production
    assert figures["gate"]["compared"] == 1
    assert figures["publish"]["version"] == figures["realign"]["version"] != production
    assert "<html" in (done.out / "reports" / "gate.html").read_text()


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
