"""Embeddings of preferences: the statistics by hand, the planner's own, and as an Evidently metric."""

import os
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.model.higr import HiGR
from higr.model.inputs import ProfileVocabulary
from higr.slate import UserContext
from monitoring.embeddings import Planner, energy_distance, evidently_metric, mean_shift
from monitoring.sample import SAMPLE


def test_mean_shift_by_hand() -> None:
    reference = np.array([[0.0, 0.0], [2.0, 0.0]])  # mean (1, 0), rows 1 away from it
    assert mean_shift(reference, np.array([[1.0, 3.0]])) == pytest.approx(3.0)
    assert mean_shift(reference, reference) == 0


def test_energy_distance_by_hand() -> None:
    x, y = np.array([[0.0], [1.0]]), np.array([[3.0], [4.0]])
    # |X - Y|: 3, 4, 2, 3, mean 3. |X - X'|: 1. |Y - Y'|: 1.
    assert energy_distance(x, y) == pytest.approx((6 - 2) / 6)


def test_energy_sees_what_the_means_do_not() -> None:
    rng = np.random.default_rng(0)
    narrow, wide, again = (rng.normal(0, s, (1500, 16)) for s in (1.0, 1.6, 1.0))
    assert energy_distance(narrow, again) < 0.002
    assert energy_distance(narrow, wide) > 0.02
    assert mean_shift(narrow, wide) < 0.1


@pytest.fixture(scope="module")
def planner() -> Planner:
    import torch

    torch.manual_seed(0)
    codes = np.array([[i // 16, i // 4 % 4, i % 4] for i in range(64)])
    catalog = Catalog.build([f"item-{i:02d}" for i in range(64)], codes, 4, "tok")
    config = ModelConfig(
        width=16, heads=2, encoder_layers=1, planner_layers=1, feedforward=32, history_length=8
    )
    return Planner(HiGR(config, 3, 4, ProfileVocabulary({}), "tok").eval(), catalog)


def context(*items: int) -> UserContext:
    return UserContext("u", tuple(f"item-{i:02d}" for i in items), (2,) * len(items))


def test_embedding_is_the_first_plan_and_depends_on_the_context_alone(planner: Planner) -> None:
    both = planner.embed([context(1, 2), context(60)])
    assert both.shape == (2, 16)
    assert both[0] == pytest.approx(planner.embed([context(1, 2)])[0], abs=1e-5)
    assert np.abs(both[0] - both[1]).max() > 1e-3
    assert planner.embed([]).shape == (0, 16)


def test_tally_sums_the_embeddings_of_what_was_liked(planner: Planner) -> None:
    rows = []
    for request, liked in ((5, [1, 2]), (9, [60]), (11, [])):
        for position, item in enumerate((1, 2, 60, 61)):
            place = {"request": request, "hour": 480_000, "block": 3, "item_id": f"item-{item:02d}"}
            place |= {"position": position, "score": 0.0, "source": "higr", "effective": item in liked}
            rows += [place | {"log": "predictions"}, place | {"log": "feedback"}]
    found = planner.tally(pa.Table.from_pylist(rows, SAMPLE)).to_pylist()
    expected = planner.embed([context(1, 2), context(60)]).sum(axis=0)
    assert {row["column"] for row in found} == {"planner"}
    assert {row["n"] for row in found} == {2}
    totals = {int(row["cell"]): row["total"] for row in found}
    assert [totals[d] for d in range(16)] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize(("shift", "status"), [(0.0, "SUCCESS"), (1.0, "FAIL")])
def test_as_an_evidently_metric(shift: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report

        rng = np.random.default_rng(0)
        names = [f"e{d}" for d in range(8)]
        definition = DataDefinition(numerical_columns=names)
        sides = [
            Dataset.from_pandas(
                pd.DataFrame(rng.normal(by, 1, (3000, 8)), columns=names), data_definition=definition
            )
            for by in (shift, 0.0)
        ]
        found = Report([evidently_metric(names, 0.02)], include_tests=True).run(*sides).dict()
    assert found["tests"][0]["status"].upper().endswith(status)
    assert (found["metrics"][0]["value"] > 0.02) == (shift > 0)
