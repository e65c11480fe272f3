"""Run: pytest tests/serving/test_updated_catalogue.py

A bundle after an update of its catalogue, behind the endpoint: what went is not shown on any rung,
what came can be.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from higr.bundle import Bundle
from higr.catalog_update import Changes, update_bundle
from higr.config import BatchConfig
from higr.decode.recommender import HiGRRecommender
from higr.slate import Slate, UserContext
from serving.ask import Ask, Made
from serving.config import ExploreConfig
from serving.fallback import Ladder, popular_first
from serving.features import NoFeatures
from serving.live_policy import LivePolicyFile
from serving.metrics import Metrics
from serving.predictor import Predictor
from serving.schemas import Prediction, PredictRequest, parse
from serving.served import Served
from serving.switch import Switch
from serving.transformer import Transformer


class Stale:
    """A predictor that still serves the catalogue from before."""

    def __init__(self, gone: Sequence[str]) -> None:
        self.gone = tuple(gone)

    async def make(self, asks: Sequence[Ask], seconds: float) -> Made:
        return Made([Slate(self.gone[: ask.slate_size], (0.5,) * ask.slate_size) for ask in asks], "before")


class Fails:
    """Every rung below the predictor but the last is broken."""

    def recommend(self, *_: Any) -> list[Slate]:
        raise RuntimeError("boom")


@pytest.fixture(scope="module")
def gone(bundle: Bundle) -> tuple[str, ...]:
    """The ten most popular items."""
    return bundle.baseline.popularity.item_ids[:10]


@pytest.fixture(scope="module")
def updated(bundle: Bundle, gone: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("updated")
    new = [{"item_id": f"new-{n}", "category": "c", "text": "fresh"} for n in range(3)]
    pq.write_table(pa.Table.from_pylist(new), folder / "new.parquet")
    changes = Changes(folder / "new.parquet", remove=gone[:5], disable=gone[5:])
    update_bundle(Path(bundle.path), folder / "out", changes, lambda *_: None)
    return Bundle.open(folder / "out")


@pytest.fixture(scope="module")
def recommender(updated: Bundle) -> HiGRRecommender:
    return HiGRRecommender.from_bundle(updated)


@pytest.fixture
def predictor(updated: Bundle, recommender: HiGRRecommender) -> Predictor:
    """One a test, for it serves the requests of one event loop."""
    return Predictor(recommender, updated.version, BatchConfig())


def answer(bundle: Bundle, predictor: Any, baseline: Any, instance: dict[str, Any]) -> Prediction:
    served = replace(Served.of(bundle, predictor, LivePolicyFile(None)), slate_size=5)
    popular = popular_first(served.shelf.eligible, bundle.baseline.popularity.item_ids)
    served = replace(served, ladder=Ladder(baseline, popular))
    transformer = Transformer(
        served=lambda: served,
        deadline=5.0,
        crowd=64,
        features=NoFeatures(),
        switch=Switch(None),
        metrics=Metrics(CollectorRegistry()),
        log=None,
        explore=ExploreConfig(),
    )
    request = parse(PredictRequest, {"instances": [instance]})
    try:
        return asyncio.run(transformer.answer(request)).predictions[0]
    finally:
        served.ladder.close()


@pytest.mark.parametrize("rung", ["higr", "baseline", "popular"])
def test_no_rung_shows_what_was_removed_or_disabled(
    rung: str, bundle: Bundle, updated: Bundle, gone: tuple[str, ...], predictor: Predictor
) -> None:
    history = {"item_ids": list(gone), "feedback": [2] * len(gone)}
    instance = {"user_id": "u", "context": history, "slate_size": 10}
    made = answer(
        updated,
        predictor if rung == "higr" else Stale(gone),
        Fails() if rung == "popular" else updated.baseline,
        instance,
    )
    assert made.source == rung
    assert len(made.items) == 10
    assert not {item.item_id for item in made.items} & set(gone)


def test_the_incumbent_as_it_was_fitted_is_caught_too(bundle: Bundle, updated: Bundle, gone: Any) -> None:
    made = answer(updated, Stale(gone), bundle.baseline, {"user_id": "u", "slate_size": 10})
    assert made.source == "popular"  # its slate holds removed items and is not used
    assert not {item.item_id for item in made.items} & set(gone)


@pytest.mark.parametrize("rung", ["higr", "popular"])
def test_a_new_item_can_be_shown_with_its_title(
    rung: str, updated: Bundle, gone: tuple[str, ...], predictor: Predictor
) -> None:
    others = [item for item in updated.catalog.item_ids if item != "new-1"]
    instance = {"user_id": "u", "slate_size": 1, "constraints": {"exclude_items": others}}
    made = answer(updated, predictor if rung == "higr" else Stale(gone), updated.baseline, instance)
    assert made.source == rung  # the incumbent never saw it
    assert [(item.item_id, item.title) for item in made.items] == [("new-1", "fresh")]
    assert len(made.items[0].semantic_id) == updated.catalog.depth


def test_somebody_unknown_gets_a_slate(updated: Bundle, predictor: Predictor) -> None:
    slate = updated.baseline.recommend([UserContext("u")], 10)[0]
    assert len(slate.item_ids) == 10
    assert answer(updated, predictor, updated.baseline, {"user_id": "u"}).source == "higr"
