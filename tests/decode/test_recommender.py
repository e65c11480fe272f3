"""What `HiGRRecommender.decode` adds to the loop: pages, exploration, kept contexts, memory.

Run: pytest tests/decode/test_recommender.py
"""

import gc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from higr.decode.engines import build_engine
from higr.decode.recommender import HiGRRecommender
from higr.decode.request import Constraints, SlateRequest
from higr.decode.sampling import Sampling
from higr.errors import InputError
from higr.model.higr import HiGR
from higr.slate import Slate
from tests.decode.test_slate import random_catalog, random_context, random_model

CATALOG = random_catalog(seed=3, items=60, depth=3, size=6)
USERS = [random_context(seed, CATALOG) for seed in range(12)]


def recommender(cache_bytes: int = 0, model: HiGR | None = None) -> HiGRRecommender:
    return HiGRRecommender(model or random_model(1, CATALOG), CATALOG, 5, cache_bytes=cache_bytes)


def one(made: HiGRRecommender, request: SlateRequest) -> Slate:
    return made.decode([request])[0]


def test_a_page_goes_on_where_the_slate_before_it_ended() -> None:
    made = recommender()
    for user in USERS:
        whole = one(made, SlateRequest(user, 8))
        first = one(made, SlateRequest(user, 4))
        second = one(made, SlateRequest(user, 4, shown=first.item_ids))
        assert first.item_ids + second.item_ids == whole.item_ids
        assert second.scores == pytest.approx(whole.scores[4:], abs=1e-4)


def test_a_page_that_the_planner_has_no_room_for_starts_anew_without_what_was_shown() -> None:
    made = recommender()
    first = one(made, SlateRequest(USERS[0], 10))
    second = one(made, SlateRequest(USERS[0], 10, shown=first.item_ids))
    anew = one(made, SlateRequest(USERS[0], 10, Constraints(exclude=first.item_ids)))
    assert not set(first.item_ids) & set(second.item_ids)
    assert second == anew


def test_the_planner_goes_on_behind_the_last_items_that_leave_it_room() -> None:
    made = recommender()
    shown = one(made, SlateRequest(USERS[0], 9)).item_ids
    page = one(made, SlateRequest(USERS[0], 7, shown=("gone", *shown)))
    last = one(made, SlateRequest(USERS[0], 7, Constraints(exclude=shown[:-3]), shown=shown[-3:]))
    assert page == last


def test_pages_of_different_depth_are_decoded_in_one_call() -> None:
    made = recommender()
    requests = [
        SlateRequest(user, 2 + row % 3, shown=one(made, SlateRequest(user, row % 4 + 1)).item_ids[: row % 4])
        for row, user in enumerate(USERS)
    ]
    together = made.decode(requests)
    for slate, request in zip(together, requests, strict=True):
        alone = one(made, request)
        assert slate.item_ids == alone.item_ids
        assert slate.scores == pytest.approx(alone.scores, abs=1e-4)


def test_an_item_shown_before_cannot_be_pinned() -> None:
    item = CATALOG.item_ids[0]
    request = SlateRequest(USERS[0], 3, Constraints(pinned={1: item}), shown=(item,))
    with pytest.raises(InputError, match="pinned"):
        recommender().decode([request])


def test_exploring_slates_are_sound_seeded_and_say_their_propensities() -> None:
    made = recommender()
    sampling = Sampling(share=0.7, temperature=2.0, top_p=0.9, diversity=0.5, seed=4)
    for user in USERS:
        slate = one(made, SlateRequest(user, 6, sampling=sampling))
        assert len(set(slate.item_ids)) == 6
        assert all(0 < value <= 1 for value in slate.propensities)
        assert one(made, SlateRequest(user, 6, sampling=sampling)) == slate
    both = made.decode([SlateRequest(USERS[0], 6), SlateRequest(USERS[1], 6, sampling=sampling)])
    plain = one(made, SlateRequest(USERS[0], 6))
    assert both[0].item_ids == plain.item_ids
    assert both[0].propensities == (1.0,) * 6
    assert plain.propensities == ()
    assert both[1].item_ids == one(made, SlateRequest(USERS[1], 6, sampling=sampling)).item_ids


def test_propensities_are_the_frequencies_of_first_items() -> None:
    made = recommender()
    requests = [
        SlateRequest(USERS[2], 1, sampling=Sampling(share=0.8, temperature=3.0, seed=seed))
        for seed in range(3000)
    ]
    slates = made.decode(requests)
    known = {slate.item_ids[0]: slate.propensities[0] for slate in slates}
    seen = Counter(slate.item_ids[0] for slate in slates)
    assert len(known) == 5
    assert sum(known.values()) == pytest.approx(1, abs=1e-4)
    for item, value in known.items():
        assert seen[item] / 3000 == pytest.approx(value, abs=0.04)


def test_diverse_beams_spread_over_prefixes() -> None:
    def prefixes(diversity: float) -> float:
        sampling = Sampling(share=1.0, temperature=1e6, diversity=diversity)
        count = 0
        for user in USERS:
            requests = [SlateRequest(user, 1, sampling=replace(sampling, seed=seed)) for seed in range(60)]
            count += len({slate.semantic_ids[0][:2] for slate in recommender().decode(requests)})
        return count / len(USERS)

    assert prefixes(50.0) > prefixes(0.0)


def test_a_kept_context_gives_the_same_slate_and_is_not_encoded_again() -> None:
    model = random_model(1, CATALOG)
    keeping, plain = recommender(1_000_000, model), recommender(0, model)
    requests = [SlateRequest(user, 5) for user in USERS]
    expected = [slate.item_ids for slate in plain.decode(requests)]
    for _ in range(2):
        assert [slate.item_ids for slate in keeping.decode(requests)] == expected
    assert (keeping.contexts.hits, keeping.contexts.misses) == (12, 12)
    assert not any(t.requires_grad for kept in keeping.contexts._kept.values() for t in kept._tensors())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["reference", "auto"])
def test_ten_thousand_slates_take_no_more_memory(engine: str) -> None:
    model = random_model(1, CATALOG)
    made = HiGRRecommender(build_engine(engine, model), CATALOG, 5, cache_bytes=200_000)
    requests = [SlateRequest(replace(USERS[n % 12], user_id=f"{n}"), 3) for n in range(50)]

    def decode(times: int) -> int:
        for turn in range(times):
            made.decode([replace(request, sampling=Sampling(seed=turn)) for request in requests])
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = decode(20)
    assert decode(200) - before < 8_000_000
    assert made.contexts.nbytes <= 200_000
    assert torch.is_inference_mode_enabled() is False
