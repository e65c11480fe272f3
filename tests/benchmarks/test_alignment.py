"""The benchmark of alignment on a small simulated world; its own figures take hours."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import alignment
from benchmarks.alignment import NEGATIVES, POLICIES, PRESETS, STRENGTHS, chosen, plan, plan_tuning, prepared
from benchmarks.alignment_report import assemble, publish
from benchmarks.alignment_runs import CONTINUED, NONE, SIGNALS, WATCH, watch_seconds, world_of
from benchmarks.quality_data import Prepared
from higr.files import read_json
from higr.slate import Slate

TINY = replace(PRESETS["quick"], seeds=1, most=30, training_slates=150, user_share=1.0, users=60)
ROWS = (NONE, *STRENGTHS, CONTINUED, "f_grpo_simulator", *NEGATIVES, *POLICIES)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    data = prepared("simulator", tmp_path_factory.mktemp("alignment"), Path("none"), TINY)
    gate = data.config.tokenizer.gate.model_copy(
        update={
            "max_collision": 1.0,
            "min_concentration": 0.0,
            "min_consistency": 0.0,
            "min_codebook_use": 0.0,
        }
    )
    tokenizer = data.config.tokenizer.model_copy(update={"gate": gate, "epochs": 5, "stability": False})
    guard = data.config.align.guard.model_copy(update={"slates": 10, "checks": 1})
    config = data.config.model_copy(
        update={"tokenizer": tokenizer, "align": data.config.align.model_copy(update={"guard": guard})}
    )
    data = replace(data, config=config)
    data.make([0, alignment.TUNING_SEED])
    return data


def test_every_row_of_the_table_is_measured(world: Prepared, tmp_path: Path) -> None:
    tried = {row: [job for job in plan_tuning("simulator", TINY) if job.row == row][:1] for row in STRENGTHS}
    jobs = [job for row in tried.values() for job in row]
    jobs += [job for job in plan_tuning("simulator", TINY) if job.row == CONTINUED][:1]
    for job in jobs:
        job.complete(world)
    tuning = [job.load(world) for job in jobs]
    best = chosen(tuning)
    planned = plan("simulator", {row: result.job.align for row, result in best.items()}, TINY)
    assert tuple(job.row for job in planned) == ROWS
    for job in planned:
        job.complete(world)
    results = {"simulator": [job.load(world) for job in planned]}
    document = {
        "machine": {"cpu": "a processor", "torch": "2"},
        "preset": "quick",
        **assemble(results, {"simulator": tuning}, {"simulator": best}),
    }
    publish(document, tmp_path / "alignment")
    rows = read_json(tmp_path / "alignment.json")["datasets"]["simulator"]
    assert set(rows) == set(ROWS)
    for row in ROWS:
        for name in ("ndcg@5", "effective_view_hit@5", "intra_list_diversity@5", "repetition@5"):
            assert 0 <= rows[row][name]["low"] <= rows[row][name]["mean"] <= rows[row][name]["high"] <= 1
        assert rows[row][f"{WATCH}@5"]["mean"] > 0
        assert all(0 <= rows[row][f"{signal}@5"]["mean"] <= 1 for signal in SIGNALS)
    page = (tmp_path / "alignment.md").read_text()
    assert page.count("\n## ") == 3
    assert all(f"| {row} |" in page for row in ROWS)


def test_rows_of_a_seed_start_from_one_model(world: Prepared) -> None:
    folders = list(world.results.glob("pretrained-*"))
    assert sorted(folder.name for folder in folders) == ["pretrained-0-150", "pretrained-1000-150"]


def test_watch_seconds_are_those_of_the_world(world: Prepared) -> None:
    simulated = world_of(world)
    users, items = (
        table[name].to_pylist()
        for table, name in ((simulated.users.table, "user_id"), (simulated.items.table, "item_id"))
    )
    slates = [Slate(tuple(items[:5]), (0.0,) * 5), Slate(tuple(items[7:9]), (0.0,) * 2)]
    found = watch_seconds(simulated, users[:2], slates)
    by_hand = [simulated.expected_watch(user, s.item_ids) for user, s in zip(users, slates, strict=False)]
    assert np.allclose(found, by_hand)


def test_objectives_are_tuned_with_equal_budgets_and_never_on_the_test_period() -> None:
    jobs = plan_tuning("kuairand", PRESETS["full"])
    assert {sum(job.row == row for job in jobs) for row in (*STRENGTHS, CONTINUED)} == {4}
    assert {job.split for job in jobs} == {"validation"}
    assert all(job.seed not in range(PRESETS["full"].seeds) for job in jobs)
