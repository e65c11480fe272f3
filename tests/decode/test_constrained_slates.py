"""Whole slates under constraints, with a real model. Run: pytest tests/decode/test_constrained_slates.py"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.decode.recommender import HiGRRecommender
from higr.decode.request import Constraints, SlateRequest
from higr.errors import InputError
from higr.model.inputs import encode_contexts
from higr.slate import Slate, UserContext
from tests.decode.plain import World, contradiction, eligible
from tests.decode.random_requests import SMALL, batches, catalog_of, reader
from tests.decode.test_slate import random_context, random_model


def decoder(world: World, seed: int, width: int) -> HiGRRecommender:
    made = catalog_of(world)
    disabled = [item for item, active in zip(world.ids, world.active, strict=True) if not active]
    recommender = HiGRRecommender(
        random_model(seed, made), made, width, disabled, categories=world.categories
    )
    for name, numbers in world.sets.items():
        recommender.register(name, [world.ids[number] for number in numbers])
    return recommender


def check_slate(recommender: HiGRRecommender, world: World, request: SlateRequest, slate: Slate) -> None:
    """At each position the eligible item of highest exact log-probability; of equal IDs the first."""
    catalog, model = recommender.catalog, recommender.model
    tree = reader(world).eligibility([Constraints()], [1]).tree
    nothing = int(tree.catalog_positions(torch.tensor(tree.count)))  # what is fed back for no item
    shown = list(zip(slate.item_ids, slate.scores, strict=True))
    before: list[int | None] = []
    for _ in range(request.slate_size):
        allowed = sorted(eligible(world, request.constraints, before))
        if not allowed:
            before.append(None)
            continue
        fed = [nothing if number is None else number for number in before]
        codes = catalog.code_tensor[torch.tensor([[*fed, number] for number in allowed])]  # (items, m, D)
        batch = encode_contexts([request.context] * len(allowed), catalog, model.profiles, model.config)
        with torch.inference_mode():
            log_probs = model(batch, catalog.code_tensor, codes)[:, -1].log_softmax(-1)  # (items, D, K)
        totals = dict(
            zip(allowed, log_probs.gather(2, codes[:, -1, :, None]).sum(dim=(1, 2)).tolist(), strict=True)
        )
        item, score = shown.pop(0)
        chosen = world.ids.index(item)
        assert totals[chosen] == pytest.approx(max(totals.values()), abs=1e-4)
        assert score == pytest.approx(totals[chosen], abs=1e-4)
        assert chosen == min(number for number in allowed if world.codes[number] == world.codes[chosen])
        before.append(chosen)
    assert not shown


@settings(max_examples=40, deadline=None)
@given(batch=batches(), seed=st.integers(0, 10_000))
def test_slates_are_the_likeliest_allowed_ones_whatever_they_are_decoded_with(
    batch: tuple[World, list[Constraints], list[int]], seed: int
) -> None:
    world, rows, sizes = batch
    recommender = decoder(world, seed, len(world.codes))
    requests = [
        SlateRequest(random_context(seed + number, recommender.catalog), size, row)
        for number, (row, size) in enumerate(zip(rows, sizes, strict=True))
        if not contradiction(world, row, size)
    ]
    narrow = [replace(request, beam_width=1 + number) for number, request in enumerate(requests)]
    slates = recommender.decode([*narrow, *requests])
    for request, slate in zip(requests, slates[len(narrow) :], strict=True):
        check_slate(recommender, world, request, slate)
    for request, slate in zip([*narrow, *requests], slates, strict=True):
        assert recommender.decode([request])[0].item_ids == slate.item_ids


def test_a_set_without_an_item_of_the_catalogue_is_refused_and_another_of_a_name_takes_its_place() -> None:
    recommender = decoder(SMALL, 0, 5)
    with pytest.raises(InputError, match="set 'gone': the catalogue has none of its 2 items"):
        recommender.register("gone", ["x", "y"])
    asked = [SlateRequest(UserContext("u"), 4, Constraints(allow="ones"))]
    assert set(recommender.decode(asked)[0].item_ids) == {"i3", "i4"}
    recommender.register("ones", ["i0", "unknown"])
    assert recommender.decode(asked)[0].item_ids == ("i0",)


def test_unknown_items_are_left_out_of_exclusions_and_empty_prefixes_block_nothing() -> None:
    recommender = decoder(SMALL, 0, 5)
    asked = Constraints(exclude={"i9"}, blocked=((2,), (1, 2)))
    plain, constrained = recommender.decode(
        [SlateRequest(UserContext("u"), 5, own) for own in (Constraints(), asked)]
    )
    assert plain.item_ids == constrained.item_ids
    assert len(plain.item_ids) == 5


def test_what_is_pinned_behind_the_last_eligible_item_moves_up() -> None:
    slate = decoder(SMALL, 0, 5).decode(
        [SlateRequest(UserContext("u"), 5, Constraints(allow="ones", pinned={5: "i4"}))]
    )[0]
    assert slate.item_ids == ("i3", "i4")
    assert all(score > -np.inf for score in slate.scores)
