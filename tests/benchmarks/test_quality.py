"""The benchmark of slates on a small simulated world; its own figures take hours (`make bench-quality`)."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import quality, quality_tries
from benchmarks.quality import ABLATIONS, PRESETS, SCALES, TRAINED, chosen, plan, plan_tuning, settings_of
from benchmarks.quality_data import DATA, STRIDE, Prepared, configuration, windows
from benchmarks.quality_models import trained
from benchmarks.quality_report import ORDER, assemble, exponent, markdown, renewed, variants
from benchmarks.quality_runs import Job
from higr.config import SIZES, RunConfig, load_config
from higr.data.prepared import PreparedData

TINY = replace(
    PRESETS["quick"],
    seeds=1,
    most=30,
    training_slates={"kuairand": 100, "beauty": 100},
    fewer={"kuairand": 60, "beauty": 60},
    lengths=5,
)


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
        job.complete(world)
    settings = chosen([job.load(world) for job in jobs])
    planned = plan("beauty", {model: result.job.changes for model, result in settings.items()}, TINY)
    for job in planned["main"]:
        job.complete(world)
    results = [job.load(world) for job in planned["main"]]
    document = assemble(
        {"beauty": {"main": results}},
        {"beauty": [job.load(world) for job in jobs]},
        {"beauty": settings},
        (5, 10),
    )
    rows = document["datasets"]["beauty"]
    assert tuple(rows) == ORDER
    for row in ORDER:
        for name in ("ndcg@5", "impression_hit@5", "effective_view_hit@5", "recall@10"):
            value = rows[row][name]
            assert 0 <= value["low"] <= value["mean"] <= value["high"] <= 1
    parameters = {row: cost.get("parameters") for row, cost in document["costs"]["beauty"].items()}
    assert all(parameters[row] == pytest.approx(parameters["higr"], rel=0.1) for row in ORDER[:6])
    against = document["paired"]["beauty"]
    assert set(against) == set(ORDER) - {"higr", "higr_beam_40"}
    for rival, subject in {"tiger": "higr", "tiger_beam_40": "higr_beam_40"}.items():
        gap = rows[subject]["ndcg@10"]["mean"] - rows[rival]["ndcg@10"]["mean"]
        assert against[rival]["ndcg@10"]["mean"] == pytest.approx(gap, abs=1e-9)
    assert list(document["slate_length"]["beauty"]) == ["higr", "onerec", "onerec_greedy"]
    page = markdown({"preset": "quick", "machine": {"cpu": "a processor", "torch": "2"}, **document})
    assert page.count("\n## ") == 6
    assert sum(setting["chosen"] for setting in document["tuning"]["beauty"]) == len(TRAINED) + 1
    assert plan("beauty", settings_of(document["tuning"]["beauty"]), TINY) == planned


def test_a_job_that_is_done_is_not_run_again(world: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("beauty", "popular", 0, {}, {"popular": ""}, most=30)
    job.complete(world)
    before = job.load(world).measured["popular"][5].values["ndcg@5"]
    monkeypatch.setattr(Prepared, "catalog", lambda *_: pytest.fail("it was run again"))
    job.complete(world)
    after = job.load(world).measured["popular"][5].values["ndcg@5"]
    assert np.array_equal(after, before, equal_nan=True)


def test_jobs_of_other_settings_keep_their_results_elsewhere(world: Prepared) -> None:
    one = Job("beauty", "higr", 0, {"training": {"learning_rate": 1e-3}}, {"higr": ""})
    others = [replace(one, changes={"training": {"learning_rate": 2e-3}}), replace(one, seed=1)]
    assert all(one.folder(world) != other.folder(world) for other in others)
    assert one.folder(world) == replace(one).folder(world)
    model = world.config.model.model_copy(update={"dropout": 0.5})
    assert one.folder(world) != one.folder(
        replace(world, config=world.config.model_copy(update={"model": model}))
    )


def test_ablations_are_set_against_the_unchanged_model_of_their_seeds(world: Prepared) -> None:
    usual = {"training": {"learning_rate": 2e-3}}
    jobs = plan("kuairand", dict.fromkeys((*TRAINED, "incumbent"), usual), TINY)["ablation"]
    without = {**usual, "model": ABLATIONS["generator without context"]}
    assert [dict(job.changes) for job in jobs[:2]] == [usual, without]
    assert {job.training_slates for job in jobs} == {60}
    small = [replace(job, dataset="beauty") for job in jobs[:2]]
    for job in small:
        job.complete(world)
    rows = variants([job.load(world) for job in small], (5, 10))
    assert list(rows) == ["as it is", "generator_context False"]
    gap = rows["generator_context False"]["ndcg@5"]["mean"] - rows["as it is"]["ndcg@5"]["mean"]
    assert rows["generator_context False"]["difference"]["ndcg@5"]["mean"] == pytest.approx(gap, abs=1e-9)


def test_the_learning_rate_falls_as_the_width_grows() -> None:
    usual = {"training": {"learning_rate": 4e-3}}
    jobs = plan("kuairand", dict.fromkeys((*TRAINED, "incumbent"), usual), TINY)["scaling"]
    rates = {
        job.changes.get("model", {}).get("width"): job.changes["training"]["learning_rate"] for job in jobs
    }
    assert rates == pytest.approx({None: 4e-3, 32: 8e-3, 96: 4e-3 * 64 / 96, 128: 2e-3, 208: 4e-3 * 64 / 208})


def test_what_was_measured_now_takes_its_place_among_the_rest() -> None:
    before = {
        "machine": {"cpu": "old"},
        "preset": "full",
        "code": {"kuairand": {"main": "a", "scaling": "a"}, "beauty": {"main": "a"}},
        "datasets": {"kuairand": {"higr": 1}, "beauty": {"higr": 2}},
        "scaling": {"kuairand": {"nano": 3}},
    }
    after = {
        "machine": {"cpu": "new"},
        "preset": "full",
        "code": {"beauty": {"main": "b"}, "kuairand": {"scaling": "b"}},
        "datasets": {"beauty": {"higr": 4}},
        "scaling": {"kuairand": {"small": 5}},
    }
    assert renewed(before, after) == {
        "machine": {"cpu": "new"},
        "preset": "full",
        "code": {"kuairand": {"main": "a", "scaling": "b"}, "beauty": {"main": "b"}},
        "datasets": {"kuairand": {"higr": 1}, "beauty": {"higr": 4}},
        "scaling": {"kuairand": {"small": 5}},
    }


def test_models_are_tuned_with_equal_budgets_and_never_on_the_test_period() -> None:
    jobs = plan_tuning("kuairand", PRESETS["full"])
    counts = {model: sum(job.model == model for job in jobs) for model in (*TRAINED, "incumbent")}
    assert set(counts.values()) == {3}
    assert {job.split for job in jobs} == {"validation"}
    assert all(job.seed not in range(PRESETS["full"].seeds) for job in jobs)


def test_tries_are_decoded_in_every_way_on_validation_alone(world: Prepared) -> None:
    planned = quality_tries.plan()
    assert {job.split for job in planned.values()} == {"validation"}
    assert {job.seed for job in planned.values()} == {quality.TUNING_SEED}
    few = replace(planned["HiGR"], dataset="beauty", most=30, training_slates=60)
    few.complete(world)
    result = few.load(world)
    rows = quality_tries.table({"HiGR": result})
    assert [row["decoding"] for row in rows] == list(quality_tries.DECODINGS["higr"])
    for row in rows:
        values = result.measured[row["decoding"]][5].values["ndcg@5"]
        assert row["ndcg@5"] == np.nanmean(values)
        assert row["error"] == pytest.approx(np.nanstd(values) / np.sqrt((~np.isnan(values)).sum()))
        assert row["difference"] == pytest.approx(row["ndcg@5"] - rows[0]["ndcg@5"])
    assert rows[0]["difference_error"] == 0


def test_without_a_plan_the_slate_begins_as_with_one(world: Prepared) -> None:
    """Both take the likeliest item of the first position; its others follow from the same beam."""
    job = Job("beauty", "higr", 0, {}, {"plan": "/40", "none": "first/40"})
    catalog = world.catalog(0)
    config = world.config.model_copy(update={"seed": 0})
    made, _ = trained("higr", job.rows, world, config, catalog, 60)
    test = world.test_set("validation", 5, catalog, 30)
    planned, first = (test.generate(row, recommender, 5) for row, recommender in made.items())
    assert [slate.item_ids[0] for slate in planned] == [slate.item_ids[0] for slate in first]
    assert all(
        len(slate.item_ids) == 5 and sorted(slate.scores)[::-1] == list(slate.scores) for slate in first
    )


def test_windows_start_behind_the_first_purchase_and_hold_what_comes_next(world: Prepared) -> None:
    data = PreparedData.load(world._data(10))
    events = data.train_events
    bought: dict[str, list[tuple[Any, str]]] = {}
    for user, moment, item in zip(
        *(events[n].to_pylist() for n in ("user_id", "timestamp", "item_id")), strict=True
    ):
        bought.setdefault(user, []).append((moment, item))
    wanted: Counter[tuple[Any, ...]] = Counter()
    for user, own in bought.items():
        for first in range(1, len(own), STRIDE):
            items = tuple(dict.fromkeys(item for _, item in own[first:]))[:4]
            if len(items) > 1:
                wanted[user, own[first][0], items] += 1
    made = windows(data, longest=4)
    found = made.split("train").to_pylist()
    assert Counter((s["user_id"], s["history_cutoff"], tuple(s["item_ids"])) for s in found) == wanted
    assert all(len(s["strength"]) == len(s["feedback"]) == len(s["item_ids"]) for s in found)
    assert made.split("test") == data.split("test")


@pytest.mark.parametrize("name", DATA)
def test_every_change_is_a_configuration(name: str) -> None:
    base = configuration(name, Path("data"), {}).model_dump(mode="json")
    for changes in (*ABLATIONS.values(), *SCALES.values()):
        changed = RunConfig.model_validate({**base, "model": {**base["model"], **changes}})
        assert changed.model.model_dump() != base["model"]
    for size in ("nano", "small"):
        sizes = RunConfig.model_validate({**base, "model": {**base["model"], **SCALES[size]}}).model
        assert {name: getattr(sizes, name) for name in SIZES[size]} == SIZES[size]


def test_exponent_of_a_power_law() -> None:
    rows = {
        str(n): {"parameters": n, "validation_loss": 5 * n**-0.1, "ndcg@5": {"mean": 0.01 * len(str(n))}}
        for n in (10**5, 10**6, 10**7)
    }
    found = exponent(rows)
    assert found["loss_exponent"] == pytest.approx(0.1)
    assert found["ndcg@5_a_tenfold"] == pytest.approx(0.01)
