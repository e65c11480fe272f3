"""The transformer without a server: real bundle, real ladder; the predictor behind it misbehaves."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from higr.bundle import Bundle
from higr.config import BatchConfig
from higr.data.logs import PREDICTIONS, context_digest
from higr.data.situation import situation_of
from higr.slate import Slate, UserContext
from serving.ask import Ask, Made, Refused
from serving.breaker import Breaker
from serving.config import ExploreConfig
from serving.display import Card, Shelf
from serving.fallback import Ladder, popular_first
from serving.features import Known, NoFeatures
from serving.live_policy import LivePolicy, LivePolicyFile
from serving.metrics import Metrics
from serving.predictor import Predictor
from serving.schemas import PredictRequest, PredictResponse, RequestError, parse
from serving.served import Served
from serving.switch import Switch
from serving.transformer import Transformer

Predict = Callable[[Sequence[Ask]], Any]


class Scripted:
    """A predictor that does what it is told."""

    def __init__(self, script: Predict, after: float = 0) -> None:
        self.script, self.after = script, after
        self.asked: list[Ask] = []

    async def make(self, asks: Sequence[Ask], seconds: float) -> Made:
        self.asked.extend(asks)
        await asyncio.sleep(self.after)
        return Made(self.script(asks), "predictor-version")


class Remembers:
    """A feature source that knows one user."""

    async def read(self, user_ids: Sequence[str], seconds: float) -> list[Known]:
        return [
            Known(UserContext(u, (SEEN,), (2,))) if u == "known" else Known(UserContext(u), "unknown_user")
            for u in user_ids
        ]


SEEN = "v0000003"


class Bench:
    def __init__(self, bundle: Bundle) -> None:
        self.shelf = Shelf.of(bundle)
        self.items = bundle.items
        self.popular = popular_first(self.shelf.eligible, bundle.baseline.popularity.item_ids)
        self.ladder = Ladder(bundle.baseline, self.popular)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.rows: list[dict[str, Any]] = []
        self.append = self.rows.append  # stands for the log: one method
        self.runner = asyncio.Runner()  # a predictor serves the requests of one event loop

    def close(self) -> None:
        self.runner.close()
        self.ladder.close()

    def ask(self, predictor: Any, *instances: dict[str, Any], **given: Any) -> PredictResponse:
        return self.runner.run(self.transformer(predictor, **given).answer(asked(*instances)))

    def transformer(
        self,
        predictor: Any,
        *,
        features: Any = None,
        switch: Any = None,
        ladder: Any = None,
        policy: Path | None = None,
        explore: ExploreConfig | None = None,
        breaker: Breaker | None = None,
        crowd: int = 64,
        disabled: frozenset[str] = frozenset(),
    ) -> Transformer:
        served = Served(
            version="own-version",
            slate_size=4,
            max_slate_size=10,
            shelf=self.shelf,
            ladder=ladder or self.ladder,
            policy=LivePolicy(LivePolicyFile(policy), self.items, self.popular),
            predictor=predictor,
        )
        return Transformer(
            served=lambda: served,
            deadline=2.0,
            crowd=crowd,
            features=features or NoFeatures(),
            switch=switch or Switch(None),
            metrics=self.metrics,
            log=self,  # type: ignore[arg-type]
            explore=explore or ExploreConfig(),
            breaker=breaker,
            disabled=lambda: disabled,
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def asked(*instances: dict[str, Any]) -> PredictRequest:
    return parse(PredictRequest, {"instances": list(instances)})


@pytest.fixture
def bench(bundle: Bundle) -> Iterator[Bench]:
    made = Bench(bundle)
    yield made
    made.close()


@pytest.fixture(scope="module")
def lasting(bundle: Bundle) -> Iterator[Bench]:
    """One for all the examples of a property."""
    made = Bench(bundle)
    yield made
    made.close()


def first_eligible(asks: Sequence[Ask]) -> list[Slate]:
    """Right in every way, by a route of its own."""
    slates = []
    for ask in asks:
        items = [f"v{n:07d}" for n in range(200) if f"v{n:07d}" not in ask.exclude][: ask.slate_size]
        slates.append(Slate(tuple(items), tuple(-float(n) for n in range(len(items)))))
    return slates


def boom(asks: Sequence[Ask]) -> Any:
    raise RuntimeError("boom")


def gone(asks: Sequence[Ask]) -> Any:
    raise ConnectionRefusedError


def test_what_the_predictor_made_is_served_as_it_is(bench: Bench) -> None:
    answer = bench.ask(Scripted(first_eligible), {"user_id": "u", "slate_size": 2, "request_id": "r"})
    (prediction,) = answer.predictions
    assert (prediction.source, prediction.fallback_reason) == ("higr", None)
    assert (prediction.request_id, prediction.model_version) == ("r", "predictor-version")
    assert [(i.item_id, i.position, i.score) for i in prediction.items] == [
        ("v0000000", 1, 0.0),
        ("v0000001", 2, -1.0),
    ]
    assert all(item.title and item.category and item.duration_seconds for item in prediction.items)
    assert all(len(item.semantic_id) == 3 for item in prediction.items)
    assert bench.value("higr_slates_total", source="higr", reason="") == 1


@pytest.mark.parametrize(
    ("predictor", "reason"),
    [
        (Scripted(boom), "predictor_error"),
        (Scripted(gone), "unreachable"),
        (Scripted(first_eligible, after=5), "deadline"),
        (Scripted(lambda asks: []), "invalid_slate"),
        (Scripted(lambda asks: first_eligible(asks) * 2), "invalid_slate"),
        (Scripted(lambda asks: None), "invalid_slate"),
        (Scripted(lambda asks: [Slate((), ())] * len(asks)), "invalid_slate"),
        (Scripted(lambda asks: [Slate(("gone",) * 4, (0.0,) * 4)] * len(asks)), "invalid_slate"),
    ],
)
def test_each_failure_of_the_predictor_has_a_reason_and_a_slate(
    bench: Bench, predictor: Scripted, reason: str
) -> None:
    (prediction,) = bench.ask(predictor, {"user_id": "u"}).predictions
    assert (prediction.source, prediction.fallback_reason) == ("baseline", reason)
    assert prediction.model_version == "own-version"
    assert len({item.item_id for item in prediction.items}) == 4
    assert bench.value("higr_slates_total", source="baseline", reason=reason) == 1


def test_one_bad_slate_of_a_batch_falls_alone(bench: Bench) -> None:
    def second_is_short(asks: Sequence[Ask]) -> list[Slate]:
        first, _, third = first_eligible(asks)
        return [first, Slate((), ()), third]

    answer = bench.ask(Scripted(second_is_short), *({"user_id": u} for u in "abc"))
    assert [(p.user_id, p.source) for p in answer.predictions] == [
        ("a", "higr"),
        ("b", "baseline"),
        ("c", "higr"),
    ]


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(1, 10),
    exclude=st.lists(st.integers(0, 199).map("v{:07d}".format) | st.just("gone"), max_size=20),
    slates=st.lists(
        st.builds(
            Slate,
            st.lists(st.integers(0, 210).map("v{:07d}".format), max_size=10).map(tuple),
            st.lists(st.floats(), max_size=10).map(tuple),
        ),
        max_size=2,
    )
    | st.none()
    | st.lists(st.integers(), max_size=2),
)
def test_garbage_in_contract_out(lasting: Bench, size: int, exclude: list[str], slates: Any) -> None:
    instance = {"user_id": "u", "slate_size": size, "constraints": {"exclude_items": exclude}}
    (prediction,) = lasting.ask(Scripted(lambda asks: slates), instance).predictions
    shown = [item.item_id for item in prediction.items]
    assert len(shown) == len(set(shown)) == size
    assert set(shown) <= set(lasting.shelf.eligible) - set(exclude)


@pytest.mark.parametrize(
    "predictor",
    [Scripted(boom), Scripted(gone), Scripted(lambda asks: [Refused("deadline")] * len(asks))],
)
def test_a_predictor_that_keeps_failing_is_not_asked_for_a_while(bench: Bench, predictor: Scripted) -> None:
    breaker = Breaker(failures=2, seconds=60)
    reasons = [
        bench.ask(predictor, {"user_id": "u"}, breaker=breaker).predictions[0].fallback_reason
        for _ in range(4)
    ]
    assert reasons[0] == reasons[1]
    assert reasons[2:] == ["breaker", "breaker"]
    assert len(predictor.asked) == 2


def test_who_is_refused_under_overload_does_not_open_the_breaker(bench: Bench) -> None:
    breaker = Breaker(failures=1)
    busy = Scripted(lambda asks: [Refused("overloaded"), *first_eligible(asks[1:])])
    for _ in range(3):
        answer = bench.ask(busy, {"user_id": "u"}, {"user_id": "v"}, breaker=breaker)
        assert [p.fallback_reason for p in answer.predictions] == ["overloaded", None]
    assert breaker.state == "closed"


def test_who_comes_on_top_of_a_crowd_has_a_popular_slate_and_keeps_nobody_up(bench: Bench) -> None:
    predictor = Scripted(first_eligible, after=0.2)
    transformer = bench.transformer(predictor, features=Remembers(), crowd=2)
    request = asked({"user_id": "known", "constraints": {"exclude_items": [bench.popular[0]]}})

    async def five() -> list[PredictResponse]:
        return await asyncio.gather(*(transformer.answer(request) for _ in range(5)))

    made = [answer.predictions[0] for answer in bench.runner.run(five())]
    assert [(p.source, p.fallback_reason, p.degraded) for p in made] == [
        *[("higr", None, False)] * 2,
        *[("popular", "overloaded", True)] * 3,
    ]
    assert [item.item_id for item in made[-1].items] == list(bench.popular[1:5])
    assert len(predictor.asked) == 2
    assert bench.value("higr_degraded_requests_total", reason="overloaded") == 3
    (later,) = bench.runner.run(transformer.answer(request)).predictions
    assert later.source == "higr"


def test_switch_on_baseline_leaves_the_predictor_alone(bench: Bench, tmp_path: Any) -> None:
    (tmp_path / "switch").write_text("baseline")
    predictor = Scripted(first_eligible)
    (prediction,) = bench.ask(predictor, {"user_id": "u"}, switch=Switch(tmp_path / "switch")).predictions
    assert (prediction.source, prediction.fallback_reason) == ("baseline", "switch")
    assert not predictor.asked


def test_contexts_come_from_the_request_then_the_store_then_nowhere(bench: Bench) -> None:
    predictor = Scripted(first_eligible)
    answer = bench.ask(
        predictor,
        {"user_id": "known"},
        {"user_id": "known", "context": {"item_ids": ["v0000001", "x"], "feedback": [1, 2]}},
        {"user_id": "stranger"},
        features=Remembers(),
    )
    assert [ask.context.item_ids for ask in predictor.asked] == [(SEEN,), ("v0000001", "x"), ()]
    assert [p.degraded for p in answer.predictions] == [False, False, True]
    assert bench.value("higr_degraded_requests_total", reason="unknown_user") == 1
    assert [row["history_length"] for row in bench.rows] == [1, 2, 0]


def test_what_the_user_has_seen_is_left_out_unless_asked_for(bench: Bench) -> None:
    predictor = Scripted(first_eligible)
    bench.ask(
        predictor,
        {"user_id": "known", "constraints": {"exclude_items": ["v0000009"]}},
        {"user_id": "known", "constraints": {"exclude_seen": False}},
        features=Remembers(),
    )
    assert [ask.exclude for ask in predictor.asked] == [{SEEN, "v0000009"}, set()]


@pytest.fixture(scope="module")
def rungs(lasting: Bench, bundle: Bundle) -> Iterator[dict[str, tuple[Any, Ladder]]]:
    """Each rung of the ladder as the one that answers: what the predictor does, and what is below it."""
    predictor = Predictor.load(bundle, BatchConfig())
    predictor.warm_up(4)
    bottom = Ladder(cast(Any, None), lasting.popular)
    yield {
        "higr": (predictor, lasting.ladder),
        "baseline": (Scripted(boom), lasting.ladder),
        "popular": (Scripted(boom), bottom),
    }
    bottom.close()


@pytest.mark.parametrize("rung", ["higr", "baseline", "popular"])
@settings(max_examples=15, deadline=None)
@given(
    size=st.integers(1, 10),
    unseen=st.integers(0, 12),
    again=st.lists(st.integers(0, 199), max_size=20),
    excluded=st.lists(st.integers(0, 199), max_size=30),
    order=st.randoms(use_true_random=False),
)
def test_who_has_seen_nearly_everything_sees_the_oldest_again(
    rungs: dict[str, tuple[Any, Ladder]],
    lasting: Bench,
    rung: str,
    size: int,
    unseen: int,
    again: list[int],
    excluded: list[int],
    order: random.Random,
) -> None:
    eligible = list(lasting.shelf.eligible)
    forbidden = [eligible[n % len(eligible)] for n in excluded]
    history = eligible[unseen:]
    order.shuffle(history)
    history = ["gone", *history, *(eligible[unseen + n % (len(eligible) - unseen)] for n in again)]
    predictor, ladder = rungs[rung]
    (prediction,) = lasting.ask(
        predictor,
        {
            "user_id": "u",
            "slate_size": size,
            "context": {"item_ids": history, "feedback": [2] * len(history)},
            "constraints": {"exclude_items": forbidden},
        },
        ladder=ladder,
    ).predictions
    assert prediction.source == rung
    shown = [item.item_id for item in prediction.items]
    assert len(shown) == len(set(shown)) == size

    fresh = set(eligible[:unseen]) - set(forbidden)
    last_seen = {item: place for place, item in enumerate(history)}
    oldest_first = sorted(set(eligible[unseen:]) - set(forbidden), key=last_seen.__getitem__)
    back = max(0, size - len(fresh))
    assert set(shown) & set(oldest_first) == set(oldest_first[:back])
    assert set(shown) - set(oldest_first) <= fresh


CATEGORIES = ("Comedy", "Cooking", "Fitness", "Gaming", "Music")
RULES = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just("block")},
        optional={
            "items": st.lists(st.integers(0, 199).map("v{:07d}".format), min_size=1, max_size=150),
            "categories": st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=5),
        },
    ).filter(lambda rule: len(rule) > 1),
    st.builds(
        lambda most, per: {"kind": "at_most", "items": most, "per": per},
        st.integers(1, 3),
        st.sampled_from(["category", "creator"]),
    ),
    st.builds(
        lambda position, items: {
            "kind": "sponsored",
            "position": position,
            "items": items,
            "disclosure": "Sponsored",
        },
        st.integers(1, 6),
        st.lists(st.integers(0, 210).map("v{:07d}".format), min_size=1, max_size=3),
    ),
)


@pytest.mark.parametrize("rung", ["higr", "baseline", "popular"])
@settings(max_examples=40, deadline=None)
@given(
    rules=st.lists(RULES, max_size=5),
    size=st.integers(1, 10),
    seen=st.lists(st.integers(0, 199).map("v{:07d}".format), max_size=30),
)
def test_no_slate_of_any_rung_breaks_the_policy(
    rungs: dict[str, tuple[Any, Ladder]],
    lasting: Bench,
    workshop: Path,
    rung: str,
    rules: list[dict[str, Any]],
    size: int,
    seen: list[str],
) -> None:
    path = workshop / "any-policy.yaml"
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)]
    path.write_text(json.dumps({"rules": named}))
    predictor, ladder = rungs[rung]
    instance = {"user_id": "u", "slate_size": size, "explain": True}
    instance["context"] = {"item_ids": seen, "feedback": [1] * len(seen)}
    (prediction,) = lasting.ask(predictor, instance, ladder=ladder, policy=path).predictions
    shown = [item.item_id for item in prediction.items]

    ids, *attributes = (lasting.items[n].to_pylist() for n in ("item_id", "category", "creator_id"))
    of = {n: dict(zip(ids, v, strict=True)) for n, v in zip(("category", "creator"), attributes, strict=True)}
    blocked = {
        item
        for rule in rules
        if rule["kind"] == "block"
        for item in lasting.shelf.eligible
        if item in rule.get("items", ()) or of["category"][item] in rule.get("categories", ())
    }
    caps = [(rule["per"], rule["items"]) for rule in rules if rule["kind"] == "at_most"]
    assert blocked.isdisjoint(shown)
    assert len(set(shown)) == len(shown)
    for per, most in caps:
        assert max(Counter(of[per][item] for item in shown).values(), default=0) <= most
    if not caps:
        assert len(shown) == min(size, len(lasting.shelf.eligible) - len(blocked))
    for item in prediction.items:
        if item.disclosure is not None:
            assert item.item_id in [i for r in rules if r["kind"] == "sponsored" for i in r["items"]]
    assert prediction.removed is not None
    assert {r.rule: r.items for r in prediction.removed} == {
        f"r{number}": count
        for number, rule in enumerate(rules)
        if (count := len(blocked_by(rule, of["category"]))) > 0
    }


def blocked_by(rule: dict[str, Any], category: dict[str, str]) -> set[str]:
    if rule["kind"] != "block":
        return set()
    return {
        item
        for item, own in category.items()
        if item in rule.get("items", ()) or own in rule.get("categories", ())
    }


def test_a_sold_position_says_so(bench: Bench, bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "rules: [{name: s, kind: sponsored, position: 2, items: [gone, v0000100], disclosure: Sponsored}]"
    )
    for predictor in (Predictor.load(bundle, BatchConfig()), Scripted(boom), Scripted(first_eligible)):
        (prediction,) = bench.ask(predictor, {"user_id": "u"}, policy=path).predictions
        assert [item.disclosure for item in prediction.items] == [None, "Sponsored", None, None]
        assert prediction.items[1].item_id == "v0000100"
    assert prediction.source == "higr"  # who knew nothing of the slot: the others moved
    assert [item.item_id for item in prediction.items] == ["v0000000", "v0000100", "v0000001", "v0000002"]
    assert [item.score for item in prediction.items] == [0.0, 0.0, -1.0, -2.0]


def test_a_predictor_that_cannot_keep_to_the_policy_gives_way(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("rules: [{name: one-each, kind: at_most, items: 1, per: category}]")
    rows = bench.items.select(["item_id", "category"]).to_pylist()
    same = [row["item_id"] for row in rows if row["category"] == rows[0]["category"]]
    predictor = Scripted(lambda asks: [Slate(tuple(same[: asks[0].slate_size]), (0.0,) * 4)])
    (prediction,) = bench.ask(predictor, {"user_id": "u"}, policy=path).predictions
    assert (prediction.source, prediction.fallback_reason) == ("baseline", "policy")
    assert len({item.category for item in prediction.items}) == 4


def test_a_disabled_item_does_not_come_back(bench: Bench) -> None:
    cards = {item: Card(None, None, None, (0, 0, 0)) for item in ("a", "b", "c", "d")}
    bench.shelf = Shelf(cards, frozenset({"a"}))
    bench.popular = bench.shelf.eligible
    bench.ladder = Ladder(cast(Any, None), bench.popular)
    predictor = Scripted(boom)
    seen = {"item_ids": ["a", "b", "c", "b"], "feedback": [2] * 4}
    (prediction,) = bench.ask(predictor, {"user_id": "u", "slate_size": 2, "context": seen}).predictions
    assert {item.item_id for item in prediction.items} == {"c", "d"}
    assert predictor.asked[0].exclude == {"a", "b"}


@pytest.mark.parametrize("script", [first_eligible, boom], ids=["higr", "baseline"])
def test_what_the_store_has_disabled_is_on_no_rung(bench: Bench, script: Predict) -> None:
    disabled = frozenset(bench.popular[:-3])
    instance = {"user_id": "u", "slate_size": 4}
    (prediction,) = bench.ask(Scripted(script), instance, disabled=disabled).predictions
    assert {item.item_id for item in prediction.items} == set(bench.popular[-3:])


def test_what_the_store_has_disabled_does_not_come_back_for_who_has_seen_everything(bench: Bench) -> None:
    """Seen items fill a slate where too few others are left; disabled ones do not."""
    context = {"item_ids": list(bench.popular), "feedback": [1] * len(bench.popular)}
    instance = {"user_id": "u", "slate_size": 4, "context": context}
    disabled = frozenset(bench.popular[:2])
    (prediction,) = bench.ask(Scripted(first_eligible), instance, disabled=disabled).predictions
    shown = {item.item_id for item in prediction.items}
    assert len(shown) == 4
    assert not shown & disabled


def test_a_slate_longer_than_the_bundle_plans_is_refused(bench: Bench) -> None:
    with pytest.raises(RequestError, match=r"instances\[1\]\.slate_size: 11 is more than the 10 items"):
        bench.ask(Scripted(first_eligible), {"user_id": "u"}, {"user_id": "u", "slate_size": 11})


def test_excluding_everything_is_an_empty_slate_not_an_error(bench: Bench) -> None:
    everything = list(bench.shelf.eligible)
    for predictor in (Scripted(first_eligible), Scripted(boom)):
        (prediction,) = bench.ask(
            predictor, {"user_id": "u", "constraints": {"exclude_items": everything}}
        ).predictions
        assert prediction.items == []
        (prediction,) = bench.ask(
            predictor, {"user_id": "u", "constraints": {"exclude_items": everything[2:]}}
        ).predictions
        assert {item.item_id for item in prediction.items} == set(everything[:2])
    assert bench.value("higr_short_slates_total", length="empty") == 2
    assert bench.value("higr_short_slates_total", length="short") == 2


def test_a_whole_slate_is_not_counted_as_short(bench: Bench) -> None:
    bench.ask(Scripted(first_eligible), {"user_id": "u"})
    assert bench.value("higr_short_slates_total", length="empty") == 0
    assert bench.value("higr_short_slates_total", length="short") == 0


def test_the_log_has_one_row_a_slate_with_codes_whatever_the_source(bench: Bench) -> None:
    bench.ask(Scripted(boom), {"user_id": "a", "request_id": "1"}, {"user_id": "b", "request_id": "2"})
    assert [(r["request_id"], r["user_id"], r["source"]) for r in bench.rows] == [
        ("1", "a", "baseline"),
        ("2", "b", "baseline"),
    ]
    assert all(len(codes) == 3 for row in bench.rows for codes in row["semantic_ids"])


def test_the_log_says_which_steps_a_slate_took_and_how_long(bench: Bench) -> None:
    class AtSwitch:
        position = "baseline"

    own = {"context": {"item_ids": [SEEN], "feedback": [2]}}
    bench.ask(Scripted(first_eligible), {"user_id": "a", **own}, {"user_id": "b", "surface": "home"})
    bench.ask(Scripted(boom), {"user_id": "c", **own}, breaker=(breaker := Breaker(failures=1, seconds=60)))
    bench.ask(Scripted(first_eligible), {"user_id": "d"}, breaker=breaker)
    bench.ask(Scripted(first_eligible), {"user_id": "e"}, switch=AtSwitch())
    steps = ("features_ms", "predictor_ms", "baseline_ms")
    assert {r["user_id"]: [r[step] is not None for step in steps] for r in bench.rows} == {
        "a": [False, True, False],  # brought its context
        "b": [True, True, False],
        "c": [False, True, True],  # the predictor failed
        "d": [True, False, True],  # the breaker is open
        "e": [True, False, True],
    }
    for row in bench.rows:
        assert 0 < sum(row[step] or 0 for step in steps) <= row["latency_ms"]
    assert [row["surface"] for row in bench.rows] == [None, "home", None, None, None]
    assert set(bench.rows[0]) == set(PREDICTIONS.names)
    bench.ask(
        Scripted(lambda asks: [first_eligible(asks)[0], Refused("overloaded")]),
        *({"user_id": u} for u in "fg"),
    )
    assert [row["baseline_ms"] is not None for row in bench.rows[-2:]] == [False, True]


def test_a_context_that_cannot_be_logged_costs_a_row_and_not_the_answer(bench: Bench) -> None:
    class Odd:
        async def read(self, user_ids: Sequence[str], seconds: float) -> list[Known]:
            return [Known(UserContext(user, (cast(str, None), SEEN), (2, 2))) for user in user_ids]

    (prediction,) = bench.ask(Scripted(first_eligible), {"user_id": "u"}, features=Odd()).predictions
    assert len(prediction.items) == 4
    assert bench.rows == []
    assert bench.value("higr_log_dropped_rows_total", sink="predictions") == 1


def test_the_digest_is_of_what_the_model_was_given(bench: Bench) -> None:
    predictor = Scripted(first_eligible)
    bench.ask(predictor, {"user_id": "known"}, {"user_id": "other"}, features=Remembers())
    bench.ask(predictor, {"user_id": "x", "context": {"item_ids": [SEEN], "feedback": [2]}})
    assert [row["context_digest"] for row in bench.rows] == [
        context_digest(ask.context) for ask in predictor.asked
    ]
    stored, empty, brought = (row["context_digest"] for row in bench.rows)
    assert stored != empty
    if predictor.asked[0].context.situation == predictor.asked[2].context.situation:  # no hour went by
        assert stored == brought


def test_the_real_predictor_decodes_together_what_is_asked_together(bench: Bench, bundle: Bundle) -> None:
    predictor = Predictor.load(bundle, BatchConfig())
    predictor.warm_up(4)
    answer = bench.ask(predictor, {"user_id": "u"}, {"user_id": "v", "slate_size": 6})
    assert [(p.source, len(p.items)) for p in answer.predictions] == [("higr", 4), ("higr", 6)]
    assert {p.model_version for p in answer.predictions} == {bundle.version}
    assert (predictor.stats.batches, predictor.stats.rows) == (1, 2)


def test_what_explores_is_logged_with_its_propensities(bench: Bench, bundle: Bundle) -> None:
    predictor = Predictor.load(bundle, BatchConfig())
    explore = ExploreConfig(share=0.5, temperature=3.0)
    ids = [f"r{number}" for number in range(20)]
    asked = [{"user_id": "u", "request_id": request_id} for request_id in ids]
    first, again = (bench.ask(predictor, *asked, explore=explore).predictions for _ in range(2))
    shown = [[item.item_id for item in prediction.items] for prediction in first]
    assert shown == [[item.item_id for item in prediction.items] for prediction in again]
    assert len({tuple(items) for items in shown}) > 1
    (best,) = bench.ask(predictor, {"user_id": "u"}).predictions
    *explored, plain = bench.rows
    assert plain["propensities"] is None
    for row in explored:
        assert len(row["propensities"]) == 4
        assert all(0 < chance <= 1 for chance in row["propensities"])
        taken = row["item_ids"][0] == best.items[0].item_id  # the best, drawn or not, or another one drawn
        assert (row["propensities"][0] >= 0.5) == taken
    bench.ask(Scripted(boom), {"user_id": "u"}, explore=explore)
    assert bench.rows[-1]["propensities"] is None


def test_what_the_predictor_refuses_falls_alone_with_its_reason(bench: Bench) -> None:
    def refuses(asks: Sequence[Ask]) -> list[Slate | Refused]:
        first, _, third = first_eligible(asks)
        return [first, Refused("overloaded"), third]

    answer = bench.ask(Scripted(refuses), *({"user_id": u} for u in "abc"))
    assert [(p.source, p.fallback_reason) for p in answer.predictions] == [
        ("higr", None),
        ("baseline", "overloaded"),
        ("higr", None),
    ]


def test_the_model_is_told_when_and_where_the_slate_is_shown(bench: Bench) -> None:
    predictor = Scripted(first_eligible)
    before = datetime.now(UTC)
    bench.ask(
        predictor,
        {"user_id": "known", "surface": "feed"},
        {"user_id": "other", "context": {"profile": {"age": "18"}}},
        features=Remembers(),
    )
    times = [situation_of(moment) for moment in (before, datetime.now(UTC))]
    first, second = (ask.context.situation for ask in predictor.asked)
    assert first in [{**time, "surface": "feed"} for time in times]
    assert second in times
    assert predictor.asked[0].context.item_ids == (SEEN,)
