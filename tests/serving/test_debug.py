"""What `/debug/slate` tells: the same answer, and how it came about."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from higr.bundle import Bundle
from higr.config import BatchConfig
from higr.slate import Slate, UserContext
from serving.ask import Ask, Made
from serving.config import ExploreConfig
from serving.debug import examine
from serving.debug_schemas import DebugSlate
from serving.features import Known, NoFeatures
from serving.live_policy import LivePolicyFile
from serving.metrics import Metrics
from serving.predictor import Predictor
from serving.schemas import Prediction, PredictRequest, RequestError, parse
from serving.served import Served
from serving.switch import Switch
from serving.transformer import Transformer

SEEN = ("v0000003", "gone", "v0000004", "v0000003")


class Remembers:
    """A feature source that knows one user."""

    async def read(self, user_ids: Sequence[str], seconds: float) -> list[Known]:
        known = UserContext("known", SEEN, (2, 1, 0, 3), {"age": "18-24"})
        return [Known(known) if u == "known" else Known(UserContext(u), "unknown_user") for u in user_ids]


class Fails:
    """As a predictor and as a baseline."""

    async def make(self, asks: Sequence[Ask], seconds: float) -> Made:
        raise ConnectionRefusedError

    def recommend(self, *_: Any) -> list[Slate]:
        raise RuntimeError("boom")


class Counts:
    """A predictor, and what it was asked."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.asked = predictor, list[Ask]()

    async def make(self, asks: Sequence[Ask], seconds: float) -> Made:
        self.asked.extend(asks)
        return await self.predictor.make(asks, seconds)


class Bench:
    """A transformer around a real bundle, asked both ways."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.rows: list[dict[str, Any]] = []
        self.append = self.rows.append  # stands for the log: one method
        self.runner = asyncio.Runner()  # a predictor serves the requests of one event loop
        self.higr = Counts(Predictor.load(bundle, BatchConfig()))

    def transformer(
        self,
        policy: Path | None = None,
        predictor: Any = None,
        switch: Path | None = None,
        features: Any = None,
    ) -> Transformer:
        served = Served.of(self.bundle, predictor or self.higr, LivePolicyFile(policy))
        return Transformer(
            served=lambda: served,
            deadline=20.0,
            crowd=100,
            features=features or Remembers(),
            switch=Switch(switch),
            metrics=self.metrics,
            log=self,  # type: ignore[arg-type]
            explore=ExploreConfig(),
        )

    def examine(self, transformer: Transformer, *instances: dict[str, Any]) -> list[DebugSlate]:
        request = parse(PredictRequest, {"instances": list(instances)})
        return self.runner.run(examine(transformer, request)).slates

    def predict(self, transformer: Transformer, instance: dict[str, Any]) -> Prediction:
        request = parse(PredictRequest, {"instances": [instance]})
        return self.runner.run(transformer.answer(request)).predictions[0]


@pytest.fixture(scope="module")
def bench(bundle: Bundle) -> Iterator[Bench]:
    made = Bench(bundle)
    yield made
    made.runner.close()


@pytest.fixture
def rules(tmp_path: Path, bundle: Bundle) -> Path:
    """Of every kind, around a category that would be shown; `resting` does not hold."""
    path = tmp_path / "policy.yaml"
    path.write_text(
        json.dumps(
            {
                "rules": [
                    {"name": "one-kind", "kind": "block", "categories": [category_of(bundle, "v0000000")]},
                    {"name": "resting", "kind": "block", "items": ["v0000001"], "when": {"age": ["45+"]}},
                    {"name": "variety", "kind": "at_most", "items": 1, "per": "category"},
                    {
                        "name": "ad",
                        "kind": "sponsored",
                        "position": 2,
                        "items": ["v0000150"],
                        "disclosure": "Ad",
                    },
                    {
                        "name": "unsold",
                        "kind": "sponsored",
                        "position": 3,
                        "items": ["x"],
                        "disclosure": "Ad",
                    },
                ]
            }
        )
    )
    return path


def category_of(bundle: Bundle, item: str) -> str:
    return dict(zip(*(bundle.items[n].to_pylist() for n in ("item_id", "category")), strict=True))[item]


def ids(items: Any) -> list[str]:
    return [item.item_id for item in items]


@pytest.mark.parametrize("rung", ["higr", "predictor gone", "switch"])
@pytest.mark.parametrize("with_policy", [False, True])
def test_the_answer_is_the_one_that_clients_get(
    bench: Bench, rules: Path, tmp_path: Path, rung: str, with_policy: bool
) -> None:
    (tmp_path / "switch").write_text("baseline" if rung == "switch" else "auto")
    transformer = bench.transformer(
        rules if with_policy else None, Fails() if rung == "predictor gone" else None, tmp_path / "switch"
    )
    instance = {"user_id": "known", "slate_size": 4, "request_id": "r", "explain": True}
    (told,) = bench.examine(transformer, instance)
    assert told.answer == bench.predict(transformer, instance)
    assert (told.answer.source, told.answer.fallback_reason) == {
        "higr": ("higr", None),
        "predictor gone": ("baseline", "unreachable"),
        "switch": ("baseline", "switch"),
    }[rung]
    assert (told.rungs.higr.items is None) == (rung == "predictor gone")


def test_each_rung_gives_what_it_gives_alone(bench: Bench, bundle: Bundle) -> None:
    (told,) = bench.examine(bench.transformer(), {"user_id": "known", "slate_size": 4})
    (dead,) = bench.examine(bench.transformer(predictor=Fails()), {"user_id": "known", "slate_size": 4})
    assert told.rungs.higr.items == told.rungs.higr_made == told.answer.items
    assert told.rungs.baseline.items == dead.answer.items
    popular = [item for item in bundle.baseline.popularity.item_ids if item not in SEEN][:4]
    assert ids(told.rungs.popular.items) == popular
    assert told.rungs.higr_without_policy is None
    assert (dead.rungs.higr.items, dead.rungs.higr.reason) == (None, "unreachable")
    assert (
        len({tuple(ids(told.rungs.higr.items)), tuple(ids(told.rungs.baseline.items)), tuple(popular)}) == 3
    )


def test_a_baseline_that_fails_says_so(bench: Bench) -> None:
    transformer = bench.transformer()
    transformer._served().ladder._baseline = Fails()
    (told,) = bench.examine(transformer, {"user_id": "known"})
    assert (told.rungs.baseline.items, told.rungs.baseline.reason) == (None, "failed")
    assert told.rungs.popular.items is not None
    assert told.answer.source == "higr"


@pytest.mark.parametrize(
    ("instance", "features", "source", "degraded", "history"),
    [
        ({"user_id": "known"}, Remembers(), "store", None, ("v0000003", "v0000004", "gone", "v0000003")),
        ({"user_id": "stranger"}, Remembers(), "none", "unknown_user", ()),
        ({"user_id": "known"}, NoFeatures(), "none", "no_store", ()),
        (
            {"user_id": "known", "context": {"item_ids": ["v0000007"], "feedback": [2]}},
            Remembers(),
            "request",
            None,
            ("v0000007",),
        ),
    ],
)
def test_the_context_and_where_it_is_from(
    bench: Bench,
    instance: dict[str, Any],
    features: Any,
    source: str,
    degraded: str | None,
    history: tuple[str, ...],
) -> None:
    transformer = bench.transformer(features=features)
    (told,) = bench.examine(transformer, {**instance, "surface": "news"})
    context = told.context
    assert (context.source, context.degraded, context.history_length) == (source, degraded, len(history))
    assert tuple(ids(context.history)) == history
    assert context.situation["surface"] == "news"
    assert context.profile == ({"age": "18-24"} if source == "store" else {})
    assert told.answer.degraded == (degraded is not None)


def test_a_history_has_levels_and_the_faces_of_items(bench: Bench, bundle: Bundle) -> None:
    (told,) = bench.examine(bench.transformer(), {"user_id": "known"})
    latest, _, gone, _ = told.context.history
    assert [seen.feedback for seen in told.context.history] == [3, 0, 1, 2]
    row = bundle.catalog.item_ids.index("v0000003")
    assert latest.semantic_id == bundle.catalog.codes[row].tolist()
    assert latest.category == category_of(bundle, "v0000003")
    assert (gone.item_id, gone.title, gone.category, gone.semantic_id) == ("gone", None, None, None)


def test_exclusions_by_reason(bench: Bench, bundle: Bundle) -> None:
    transformer = bench.transformer()
    asked = {"user_id": "known", "slate_size": 2, "constraints": {"exclude_items": ["v0000004", "v0000005"]}}
    (told,) = bench.examine(transformer, asked)
    assert told.exclusions.request == ["v0000004", "v0000005"]
    assert told.exclusions.seen == ["v0000003", "gone"]
    assert told.exclusions.seen_again == []
    everything = [item for item in bundle.catalog.item_ids if item not in SEEN]
    asked["constraints"] = {"exclude_items": everything}
    (told,) = bench.examine(transformer, asked)
    assert (told.exclusions.seen, told.exclusions.seen_again) == (["gone"], ["v0000003", "v0000004"])
    assert set(ids(told.answer.items)) == {"v0000003", "v0000004"}
    asked["constraints"] = {"exclude_seen": False}
    (told,) = bench.examine(transformer, asked)
    assert (told.exclusions.request, told.exclusions.seen, told.exclusions.seen_again) == ([], [], [])


def test_the_decision_and_what_it_removed(bench: Bench, bundle: Bundle, rules: Path) -> None:
    (told,) = bench.examine(bench.transformer(rules), {"user_id": "known", "slate_size": 6})
    (free,) = bench.examine(bench.transformer(), {"user_id": "known", "slate_size": 6})
    decision = told.decision
    held = {rule.rule: rule.holds for rule in decision.rules}
    assert held == {"one-kind": True, "resting": False, "variety": True, "ad": True, "unsold": True}
    assert [rule.says for rule in decision.rules] == [
        f"blocks categories {category_of(bundle, 'v0000000')}",
        "blocks items v0000001",
        "at most 1 of one category",
        "position 2 is sold to v0000150",
        "position 3 is sold to x",
    ]
    assert decision.rules[1].when == {"age": ["45+"]}
    category = dict(zip(*(bundle.items[n].to_pylist() for n in ("item_id", "category")), strict=True))
    blocked = [item for item in bundle.catalog.item_ids if category[item] == category["v0000000"]]
    assert (decision.blocked, decision.rules[0].items) == (len(blocked), len(blocked))
    assert (decision.per_category, decision.per_creator) == (1, None)
    assert [(sold.position, sold.item_id) for sold in decision.sold] == [(2, "v0000150"), (3, None)]

    without = told.rungs.higr_without_policy
    assert without is not None
    assert ids(without.items) == ids(free.answer.items)
    expected: dict[str, list[str]] = {}
    for place, item in enumerate(ids(without.items)):
        earlier = [category[other] for other in ids(without.items)[:place]]
        names = ["one-kind"] if item in blocked else []
        names += ["variety"] if category[item] in earlier else []
        if names:
            expected[item] = names
    assert expected
    assert decision.removed == expected
    assert set(decision.removed).isdisjoint(set(ids(told.answer.items)) - {"v0000150"})


def test_a_request_without_rules_is_decoded_once(bench: Bench, rules: Path) -> None:
    for policy, asked in ((None, 2), (rules, 4)):
        bench.higr.asked.clear()
        bench.examine(bench.transformer(policy), {"user_id": "known"}, {"user_id": "other"})
        assert len(bench.higr.asked) == asked


def test_nobody_counts_or_logs_what_nobody_is_shown(bench: Bench, rules: Path) -> None:
    def samples() -> dict[Any, float]:
        families = bench.registry.collect()
        return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}

    transformer = bench.transformer(rules)
    before, rows = samples(), len(bench.rows)
    bench.examine(transformer, {"user_id": "known"}, {"user_id": "stranger"})
    assert (samples(), len(bench.rows)) == (before, rows)
    bench.predict(transformer, {"user_id": "known"})
    assert samples() != before
    assert len(bench.rows) == rows + 1


def test_the_steps_are_those_of_the_answer(bench: Bench) -> None:
    asked = {"user_id": "known"}
    (told,) = bench.examine(bench.transformer(), asked)
    assert set(told.steps_ms) == {"features", "predictor", "total"}
    assert told.steps_ms["features"] + told.steps_ms["predictor"] <= told.steps_ms["total"] + 0.02
    (told,) = bench.examine(bench.transformer(predictor=Fails()), asked)
    assert set(told.steps_ms) == {"features", "predictor", "baseline", "total"}


def test_a_slate_that_is_too_long_is_refused(bench: Bench) -> None:
    with pytest.raises(RequestError, match=r"instances\[1\]\.slate_size: 11 is more than the 10 items"):
        bench.examine(bench.transformer(), {"user_id": "u"}, {"user_id": "u", "slate_size": 11})
