"""The predictor: each ask has its slate or its reason, whatever happens to those beside it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from higr.config import BatchConfig
from higr.decode.request import SlateRequest
from higr.slate import Slate, UserContext
from serving.ask import Ask, Refused
from serving.decision import ANYTHING, Decision
from serving.predictor import Predictor


class Decoder:
    """Needs `seconds` a batch and fails at the user `bad`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches: list[list[SlateRequest]] = []
        self.registered: list[tuple[str, tuple[str, ...]]] = []

    def register(self, name: str, items: Sequence[str]) -> None:
        self.registered.append((name, tuple(items)))

    def decode(self, requests: Sequence[SlateRequest]) -> list[Slate]:
        self.batches.append(list(requests))
        time.sleep(self.seconds)
        if any(request.context.user_id == "bad" for request in requests):
            raise RuntimeError("a tensor of another shape")
        return [Slate((request.context.user_id,), (0.0,)) for request in requests]


def asks(*users: str) -> list[Ask]:
    return [Ask(UserContext(user), 1, frozenset({f"not-{user}"})) for user in users]


def made(predictor: Predictor, users: Sequence[str], seconds: float) -> list[str]:
    """First item of each slate, or the reason why there is none."""

    async def ask() -> Sequence[Slate | Refused]:
        return (await predictor.make(asks(*users), seconds)).slates

    return [s.reason if isinstance(s, Refused) else s.item_ids[0] for s in asyncio.run(ask())]


def over(decoder: Any, **config: Any) -> Predictor:
    return Predictor(cast(Any, decoder), "v", BatchConfig(**config))


def test_asks_are_decoded_together_under_their_own_constraints() -> None:
    decoder = Decoder()
    assert made(over(decoder), ["a", "b", "c"], 5.0) == ["a", "b", "c"]
    (batch,) = decoder.batches
    assert [set(request.constraints.exclude) for request in batch] == [{"not-a"}, {"not-b"}, {"not-c"}]


def test_who_makes_the_decoder_fail_fails_alone() -> None:
    assert made(over(Decoder()), ["a", "bad", "c"], 5.0) == ["a", "predictor_error", "c"]


def test_who_cannot_be_in_time_hears_it_and_the_others_are_served() -> None:
    predictor = over(Decoder(0.05), max_batch=1, window_ms=0)

    async def ask() -> Sequence[Slate | Refused]:
        await predictor.make(asks("first"), 5.0)  # what a slate takes is known now
        return (await predictor.make(asks(*"abcdefgh"), 0.2)).slates

    reasons = [slate.reason for slate in asyncio.run(ask()) if isinstance(slate, Refused)]
    assert 1 <= len(reasons) < 8
    assert set(reasons) <= {"overloaded", "deadline"}


def test_what_is_late_is_a_reason_too() -> None:
    assert made(over(Decoder(0.3)), ["a"], 0.05) == ["deadline"]


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_no_time_at_all(seconds: float) -> None:
    decoder = Decoder()
    assert made(over(decoder), ["a"], seconds) == ["deadline"]
    assert not decoder.batches


def test_what_a_policy_leaves_is_registered_once_and_again_when_it_has_changed() -> None:
    decoder = Decoder()
    predictor = over(decoder)
    today = Decision(("fresh", "recalled"), frozenset("x"), ("a", "b"), per_category=2)
    tomorrow = replace(today, blocked=frozenset("xb"), popular=("a",))

    async def ask() -> None:
        for decision in (ANYTHING, today, today, tomorrow):
            ask = Ask(
                UserContext("a"), 2, frozenset(), decision, {1: "b"} if decision is today else {}, spare=3
            )
            await predictor.make([ask], 5.0)

    asyncio.run(ask())
    assert decoder.registered == [("fresh,recalled", ("a", "b")), ("fresh,recalled", ("a",))]
    requests = [request for batch in decoder.batches for request in batch]
    assert [request.constraints.allow for request in requests] == [None, *["fresh,recalled"] * 3]
    assert [request.constraints.per_category for request in requests] == [None, 2, 2, 2]
    assert [dict(request.constraints.pinned) for request in requests] == [{}, {1: "b"}, {1: "b"}, {}]
    assert {request.slate_size for request in requests} == {5}


def test_where_everything_is_blocked_nothing_is_decoded() -> None:
    decoder = Decoder()
    ask = Ask(UserContext("a"), 2, decision=Decision(("all",), frozenset("ab"), ()))
    made = asyncio.run(over(decoder).make([ask], 5.0))
    assert list(made.slates) == [Slate((), ())]
    assert not decoder.batches
