"""The benchmark of slates on a small simulated world; its own figures take hours (`make bench-quality`)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.quality import ABLATIONS, PRESETS, SCALES, TRAINED, chosen, plan, plan_tuning
from benchmarks.quality_data import DATA, Prepared, configuration
from benchmarks.quality_report import assemble, exponent, markdown
from benchmarks.quality_runs import Job, complete, load
from higr.config import RunConfig, load_config

TINY = replace(PRESETS["quick"], seeds=1, most=30, training_slates=100, lengths=5)
ROWS = ("higr", "onerec", "onerec_greedy", "onerec_moe", "tiger", "sasrec", "incumbent", "popular")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    changes = {
        "data.slates": "chunk",
        "model.width": 64,
        "model.feedforward": 172,
        "model.history_length": 8,
        "training.target_size": 10,
        "evaluation.k": 10,
        "decode.beam_width": 10,
    }
    config = load_config("nano", changes)
    data = Prepared("beauty", tmp_path_factory.mktemp("quality"), config)
    data.make([0, quality.TUNING_SEED])
    return data


def test_every_row_of_the_table_is_measured_and_kept(world: Prepared) -> None:
    jobs = plan_tuning("beauty", TINY)
    for job in jobs:
        complete(job, world)
    settings = chosen([load(job, world) for job in jobs])
    planned = plan("beauty", settings, TINY)
    for job in planned["main"]:
        complete(job, world)
    results = [load(job, world) for job in planned["main"]]
    document = assemble(
        {"beauty": {"main": results}},
        {"beauty": [load(job, world) for job in jobs]},
        {"beauty": settings},
        (5, 10),
    )
    rows = document["datasets"]["beauty"]
    assert tuple(rows) == ROWS
    for row in ROWS:
        for name in ("ndcg@5", "impression_hit@5", "effective_view_hit@5", "recall@10"):
            value = rows[row][name]
            assert 0 <= value["low"] <= value["mean"] <= value["high"] <= 1
    parameters = {row: cost.get("parameters") for row, cost in document["costs"]["beauty"].items()}
    assert all(parameters[row] == pytest.approx(parameters["higr"], rel=0.1) for row in ROWS[:6])
    assert set(document["paired"]["beauty"]) == set(ROWS) - {"higr"}
    assert list(document["slate_length"]["beauty"]) == ["higr", "onerec", "onerec_greedy"]
    page = markdown({"preset": "quick", "machine": {"cpu": "a processor", "torch": "2"}, **document})
    assert page.count("\n## ") == 6
    assert sum(setting["chosen"] for setting in document["tuning"]["beauty"]) == len(TRAINED) + 1


def test_a_job_that_is_done_is_not_run_again(world: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("beauty", "popular", 0, most=30)
    complete(job, world)
    before = load(job, world).measured["popular"][5].values["ndcg@5"]
    monkeypatch.setattr(Prepared, "catalog", lambda *_: pytest.fail("it was run again"))
    complete(job, world)
    after = load(job, world).measured["popular"][5].values["ndcg@5"]
    assert np.array_equal(after, before, equal_nan=True)


def test_jobs_of_other_settings_have_other_names() -> None:
    one = Job("beauty", "higr", 0, {"training": {"learning_rate": 1e-3}})
    assert one.key != replace(one, changes={"training": {"learning_rate": 2e-3}}).key
    assert one.key != replace(one, seed=1).key
    assert one.key == replace(one).key


def test_models_are_tuned_with_equal_budgets_and_never_on_the_test_period() -> None:
    jobs = plan_tuning("kuairand", PRESETS["full"])
    counts = {model: sum(job.model == model for job in jobs) for model in (*TRAINED, "incumbent")}
    assert set(counts.values()) == {3}
    assert {job.split for job in jobs} == {"validation"}
    assert all(job.seed not in range(PRESETS["full"].seeds) for job in jobs)


@pytest.mark.parametrize("name", DATA)
def test_every_change_is_a_configuration(name: str) -> None:
    base = configuration(name, Path("data"), {}).model_dump(mode="json")
    for changes in (*ABLATIONS.values(), *SCALES.values()):
        changed = RunConfig.model_validate({**base, "model": {**base["model"], **changes}})
        assert (changed.model.model_dump() != base["model"]) == bool(changes)


def test_exponent_of_a_power_law() -> None:
    rows = {
        str(n): {"parameters": n, "validation_loss": 5 * n**-0.1, "ndcg@5": {"mean": 0.01 * len(str(n))}}
        for n in (10**5, 10**6, 10**7)
    }
    found = exponent(rows)
    assert found["loss_exponent"] == pytest.approx(0.1)
    assert found["ndcg@5_a_tenfold"] == pytest.approx(0.01)
