"""What `higr.slate.Recommender` promises, asked of every peer. Run: pytest tests/peers"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from higr.catalog import Catalog
from higr.errors import InputError
from higr.model.inputs import PADDING
from higr.peers.recommenders import OneRecRecommender, SASRecRecommender, TigerRecommender
from higr.slate import Recommender, UserContext
from tests.peers.small import (
    EXPERTS,
    batch_of,
    catalog_of,
    onerec,
    sasrec,
    shared_catalog,
    tiger,
    user,
)

Make = Callable[[int, Catalog, int, Iterable[str]], Recommender]

PEERS: dict[str, Make] = {
    "session": lambda seed, catalog, width, disabled: OneRecRecommender(
        onerec(seed, catalog), catalog, width, "session", disabled
    ),
    "greedy": lambda seed, catalog, width, disabled: OneRecRecommender(
        onerec(seed, catalog), catalog, width, "greedy", disabled
    ),
    "experts": lambda seed, catalog, width, disabled: OneRecRecommender(
        onerec(seed, catalog, EXPERTS), catalog, width, "session", disabled
    ),
    "tiger": lambda seed, catalog, width, disabled: TigerRecommender(
        tiger(seed, catalog), catalog, width, disabled
    ),
    "sasrec": lambda seed, catalog, _, disabled: SASRecRecommender(sasrec(seed, catalog), catalog, disabled),
}
EVERY = pytest.mark.parametrize("peer", PEERS)


@EVERY
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    items=st.integers(1, 40),
    depth=st.integers(2, 4),
    size=st.integers(2, 5),
    slate=st.integers(1, 8),
    width=st.integers(1, 12),
    excluded=st.floats(0, 1),
    disabled=st.floats(0, 1),
    shared=st.booleans(),
)
def test_slates_hold_distinct_eligible_items_and_are_full_while_there_are_any(
    peer: str,
    seed: int,
    items: int,
    depth: int,
    size: int,
    slate: int,
    width: int,
    excluded: float,
    disabled: float,
    shared: bool,
) -> None:
    catalog = shared_catalog(seed) if shared else catalog_of(seed, items, depth, size)
    rng = np.random.default_rng(seed)
    off = {item for item in catalog.item_ids if rng.random() < disabled}
    users = [user(0, catalog), *(user(seed + i, catalog) for i in range(2))]
    exclude = [{item for item in catalog.item_ids if rng.random() < excluded} for _ in users]
    recommender = PEERS[peer](seed, catalog, width, off)
    for result, forbidden in zip(recommender.recommend(users, slate, exclude), exclude, strict=True):
        left = set(catalog.item_ids) - forbidden - off
        assert len(result.item_ids) == min(slate, len(left))
        assert len(set(result.item_ids)) == len(result.item_ids) == len(result.scores)
        assert set(result.item_ids) <= left
        assert np.isfinite(result.scores).all()
        for item, codes in zip(result.item_ids, result.semantic_ids, strict=True):
            assert codes == tuple(catalog.codes[catalog.position[item]])


@EVERY
def test_a_context_gets_the_same_slate_alone_and_in_a_batch(peer: str) -> None:
    catalog = catalog_of(0, 30)
    recommender = PEERS[peer](0, catalog, 5, ())
    users = [user(seed, catalog) for seed in range(6)]
    exclude = [set(catalog.item_ids[: 5 * seed]) | {"unknown"} for seed in range(6)]
    together = recommender.recommend(users, 4, exclude)
    alone = [recommender.recommend([u], 4, [e])[0] for u, e in zip(users, exclude, strict=True)]
    assert [s.item_ids for s in together] == [s.item_ids for s in alone]


@EVERY
def test_disabled_is_excluded_for_everyone(peer: str) -> None:
    catalog = catalog_of(1, 30)
    users = [user(seed, catalog) for seed in range(5)]
    off = set(catalog.item_ids[::2])
    without = PEERS[peer](1, catalog, 6, off).recommend(users, 5)
    excluded = PEERS[peer](1, catalog, 6, ()).recommend(users, 5, [off] * 5)
    assert [s.item_ids for s in without] == [s.item_ids for s in excluded]


@EVERY
def test_the_history_has_a_say(peer: str) -> None:
    catalog = catalog_of(2, 40)
    recommender = PEERS[peer](2, catalog, 6, ())
    slates = recommender.recommend([user(seed, catalog) for seed in (0, 4, 5, 11)], 5)
    assert len({slate.item_ids for slate in slates}) > 1


@EVERY
def test_exclusions_must_be_one_a_context(peer: str) -> None:
    catalog = catalog_of(0, 20)
    with pytest.raises(InputError, match="1 exclusions for 2 contexts"):
        PEERS[peer](0, catalog, 4, ()).recommend([UserContext("u"), UserContext("v")], 3, [set()])


@EVERY
def test_no_context_no_slate(peer: str) -> None:
    catalog = catalog_of(0, 20)
    assert PEERS[peer](0, catalog, 4, ()).recommend([], 3) == []


def test_sasrec_ranks_as_its_scores() -> None:
    catalog = catalog_of(0, 30)
    model, context = sasrec(0, catalog), user(5, catalog)
    batch = batch_of([context], catalog)
    with torch.inference_mode():
        scores = model.scores(model(model.engaged(batch))[0, -1])
    slate = SASRecRecommender(model, catalog).recommend([context], 6)[0]
    assert [catalog.position[item] for item in slate.item_ids] == scores.argsort(descending=True)[:6].tolist()


def test_sasrec_serves_its_own_catalogue_alone() -> None:
    with pytest.raises(InputError, match="knows 20 items by their place, the catalogue has 21"):
        SASRecRecommender(sasrec(0, catalog_of(0, 20)), catalog_of(0, 21))
    catalog = catalog_of(0, 20)
    with pytest.raises(InputError, match="slate size 0: at least 1"):
        SASRecRecommender(sasrec(0, catalog), catalog).recommend([UserContext("u")], 0)


MODELS = {
    "onerec": onerec,
    "experts": lambda seed, catalog: onerec(seed, catalog, EXPERTS),
    "tiger": tiger,
    "sasrec": sasrec,
}


def without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model.train()


@pytest.mark.parametrize("kind", MODELS)
def test_a_row_without_target_adds_nothing_in_training(kind: str) -> None:
    """The trainer fills batches up with such rows; all parameters take part all the same."""
    catalog = catalog_of(0, 20)
    model: Any = without_dropout(MODELS[kind](0, catalog))
    users = [user(5, catalog), user(4, catalog), user(3, catalog)]
    items = torch.tensor([[4, 9], [7, PADDING], [PADDING, PADDING]])
    total, count = model.losses(batch_of(users, catalog), items, catalog.code_tensor)
    expected, number = model.losses(batch_of(users[:2], catalog), items[:2], catalog.code_tensor)
    torch.testing.assert_close(total, expected)
    assert count == number
    total, count = model.losses(batch_of(users[2:], catalog), items[2:], catalog.code_tensor)
    total.backward()
    assert total == count == 0
    unused = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert unused == []


@pytest.mark.parametrize("kind", MODELS)
def test_smoothing_is_what_torch_calls_so(kind: str) -> None:
    catalog = catalog_of(0, 20)
    model: Any = MODELS[kind](0, catalog)
    batch, items = batch_of([user(5, catalog)], catalog), torch.tensor([[4, 9, PADDING]])
    plain, count = model.losses(batch, items, catalog.code_tensor)
    half, _ = model.losses(batch, items, catalog.code_tensor, smoothing=0.5)
    most, _ = model.losses(batch, items, catalog.code_tensor, smoothing=0.9999)
    if kind == "sasrec":
        even = -2 * model.scores(model(model.engaged(batch))[:, -1]).log_softmax(-1).mean()
    else:
        context, codes = model.encode(batch, catalog.code_tensor), catalog.code_tensor[items[:, :2]]
        logits = (model.next_logits if kind == "tiger" else model.slate_logits)(context, codes)
        even = -logits.log_softmax(-1).mean(dim=-1).sum()
    torch.testing.assert_close(half, (plain + even) / 2)
    torch.testing.assert_close(most, even, rtol=1e-3, atol=1e-3)
    assert count == (2 if kind == "sasrec" else 6)
