"""Run: pytest tests/decode/test_engine_check.py"""

from pathlib import Path

import pytest

from higr.bundle import Bundle
from higr.decode.engines.check import checked_engine, drawn_contexts
from higr.decode.engines.int8 import Int8HiGR
from higr.decode.recommender import HiGRRecommender
from higr.decode.slate import SlateModel
from higr.errors import EngineError
from higr.model.higr import HiGR
from tests.decode.test_slate import random_catalog, random_model
from tests.tools import require_int8_kernels

CATALOG = random_catalog(seed=5, items=60, depth=3, size=6)


@pytest.fixture(autouse=True)
def kernels() -> None:
    require_int8_kernels()


def checked(name: str, floor: float, model: HiGR) -> SlateModel:
    return checked_engine(name, model, CATALOG, floor, lambda made: HiGRRecommender(made, CATALOG, 5))


def test_an_engine_above_the_floor_serves() -> None:
    model = random_model(0, CATALOG)
    assert isinstance(checked("cpu", 0.3, model), Int8HiGR)
    assert isinstance(checked("auto", 0.3, model), Int8HiGR)
    assert checked("reference", 1.0, model) is model


def test_an_engine_below_the_floor_is_refused_and_passed_over_by_auto() -> None:
    model = random_model(0, CATALOG)
    with pytest.raises(EngineError, match=r"engine cpu: 0\.\d+ of the reference's first 10 items"):
        checked("cpu", 1.0, model)
    assert checked("auto", 1.0, model) is model


def test_histories_are_drawn_of_all_lengths() -> None:
    model = random_model(0, CATALOG)
    contexts = drawn_contexts(model, CATALOG, seed=0)
    assert {len(context.item_ids) for context in contexts} == set(range(model.config.history_length + 1))
    assert contexts == drawn_contexts(model, CATALOG, seed=0) != drawn_contexts(model, CATALOG, seed=1)


def test_a_bundle_is_served_by_the_engine_it_names(nano_run: Path) -> None:
    bundle = Bundle.open(nano_run / "bundle")
    assert isinstance(HiGRRecommender.from_bundle(bundle).model, Int8HiGR)
    reference = HiGRRecommender.from_bundle(bundle, "reference")
    assert reference.model is bundle.model
    assert HiGRRecommender.from_bundle(bundle).contexts.max_bytes == 64_000_000
