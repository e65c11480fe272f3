"""The benchmark's arithmetic and plan; its figures take an hour, made by `make bench-tokenizer`."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.tokenizer import ABLATIONS, DATASETS, KINDS, SWEEPS, markdown, plan
from benchmarks.tokenizer_runs import companions_together, interval, summarise
from higr.config import TokenizerConfig

SETTINGS = {"pcrq_vae": {"latent_dim": 12}, "rq_vae": {"latent_dim": 16}}


def test_interval_is_students() -> None:
    values = [0.1, 0.2, 0.4]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    found = interval(values)
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((np.mean(values), low, high))
    assert interval([0.3]) == {"mean": 0.3, "low": 0.3, "high": 0.3}


def test_summary_of_seeds() -> None:
    codes = np.array([[0, 1], [1, 0], [1, 1]])
    runs = [
        {"collision": value, "perplexity": [value, 2 * value], "codes": codes} for value in (1.0, 2.0, 3.0)
    ]
    summary = summarise(runs)
    assert summary["seeds"] == 3
    assert summary["collision"]["mean"] == 2.0
    assert summary["perplexity"] == [2.0, 4.0]
    assert summary["stability"] == [1.0, 1.0]
    assert summary["rand"] == [1.0, 1.0]


def test_companions_are_counted_under_whole_prefixes() -> None:
    codes = np.array([[0, 1, 0], [0, 1, 1], [0, 2, 0], [1, 1, 0]])
    pairs = np.array([[0, 1], [0, 2], [0, 3], [1, 1]])
    assert companions_together(codes, pairs) == [0.75, 0.5]  # the pair of 0 and 3 shares its second code only


def test_all_kinds_get_the_same_on_every_data_set() -> None:
    jobs = [job for job in plan(SETTINGS, 5) if job.table == "kinds"]
    assert {(job.data, job.row) for job in jobs} == {(data, kind) for data in DATASETS for kind in KINDS}
    for field in ("codebook_size", "depth", "epochs"):
        assert len({job.changes[field] for job in jobs}) == 1
    assert all(len([j for j in jobs if (j.data, j.row) == (d, k)]) == 5 for d in DATASETS for k in KINDS)


def test_every_row_is_a_configuration_and_differs_from_pcrq_vae() -> None:
    jobs = plan(SETTINGS, 1)
    own = TokenizerConfig.model_validate(next(job.changes for job in jobs if job.row == "pcrq_vae"))
    for job in jobs:
        config = TokenizerConfig.model_validate(job.changes)
        assert job.table in ("kinds", "positives", "enrichment") or config != own, job.row
    assert len({job.row for job in jobs if job.table == "ablation"}) == len(ABLATIONS) - 1
    assert len({job.row for job in jobs if job.table == "sweep"}) == sum(map(len, SWEEPS.values()))


def test_the_page_has_a_table_for_each_part() -> None:
    figures = {
        "seeds": 1,
        "perplexity": [2.0, 3.0, 4.0],
        "neighbours": [0.5, 0.25, 0.1],
        "seconds": interval([1.0]),
        **{name: interval([0.5]) for name in ("collision", "concentration", "consistency")},
    }
    document = {
        "machine": {"cpu": "a processor", "torch": "2"},
        "settings": {"common": {}, **SETTINGS},
        "items": {"kuairec": {"items": 9, "left_out": 1}},
        "datasets": {"kuairec": {"pcrq_vae": figures}},
        "ablation": {"as it is": figures},
        "enrichment": {"pcrq_vae": figures},
        "sweep": {"a row": figures},
        "positives": {"kuairand": {"none": figures}},
        "speed": {},
    }
    page = markdown(document)
    assert page.count("\n## ") == 5
    assert (
        "| pcrq_vae | 0.5000 ±0.0000 | 0.5000 ±0.0000 | 0.5000 ±0.0000 | 2.0 3.0 4.0 | 0.250 |  | 1.0 |"
        in page
    )
