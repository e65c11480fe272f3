"""One next item: causality, caches, losses, and slates against exhaustive scoring.

Run: pytest tests/peers/test_tiger.py
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.errors import InputError
from higr.model.inputs import PADDING
from higr.peers.recommenders import TigerRecommender
from higr.peers.tiger import Tiger
from higr.slate import UserContext
from tests.peers.small import PROFILES, batch_of, catalog_of, shared_catalog, strong, tiger, user


def scores_of_all(model: Tiger, catalog: Catalog, context: UserContext) -> np.ndarray:
    """(N,) log-probabilities of all items as the next one, by teacher forcing."""
    codes = catalog.code_tensor
    with torch.inference_mode():
        logits = model.next_logits(model.encode(batch_of([context], catalog), codes), codes[None])
    return logits.log_softmax(-1).gather(-1, codes[None, ..., None])[0, :, :, 0].sum(dim=1).numpy()


def test_changing_a_code_changes_no_logit_before_or_at_it_and_no_other_item() -> None:
    catalog = catalog_of(0, 30)
    model = tiger(0, catalog)
    context = model.encode(batch_of([user(3, catalog)], catalog), catalog.code_tensor)
    targets = catalog.code_tensor[torch.tensor([[0, 5]])]
    before = model.next_logits(context, targets)
    assert before.shape == (1, 2, 3, 4)
    for level in range(3):
        changed = targets.clone()
        changed[0, 0, level] = (changed[0, 0, level] + 1) % 4
        after = model.next_logits(context, changed)
        torch.testing.assert_close(after[0, 1], before[0, 1])
        torch.testing.assert_close(after[0, 0, : level + 1], before[0, 0, : level + 1])
        if level < 2:
            assert not torch.allclose(after[0, 0, level + 1], before[0, 0, level + 1])


def test_one_step_at_a_time_equals_all_codes_at_once() -> None:
    catalog = catalog_of(1, 30)
    model = tiger(1, catalog)
    context = model.encode(batch_of([user(3, catalog), user(0, catalog)], catalog), catalog.code_tensor)
    targets = catalog.code_tensor[torch.tensor([[7], [2]])]
    at_once = model.next_logits(context, targets)
    codes, caches = None, None
    for level in range(3):
        logits, caches = model.step(context, level, codes, caches)
        torch.testing.assert_close(logits[:, 0], at_once[:, 0, level], atol=1e-4, rtol=1e-4)
        codes = targets[:, :, level]


@pytest.mark.parametrize(("tokens", "length"), [("code", 1 + 4 * 3), ("item", 1 + 4)])
def test_the_encoder_reads_codes_or_items(tokens: str, length: int) -> None:
    catalog = catalog_of(1, 30)
    config = ModelConfig(width=16, heads=2, feedforward=16, history_length=4, history_tokens=tokens)
    model = strong(Tiger(config, 3, 4, PROFILES, ""))
    assert model.encode(batch_of([user(3, catalog)], catalog), catalog.code_tensor).mask.shape == (1, length)


def test_every_item_of_the_slate_is_a_target_of_its_own() -> None:
    catalog = catalog_of(2, 20)
    model = tiger(2, catalog)
    users = [user(4, catalog), user(0, catalog)]
    items = torch.tensor([[4, 9, 1], [7, PADDING, PADDING]])
    total, count = model.losses(batch_of(users, catalog), items, catalog.code_tensor)
    first, second = (scores_of_all(model, catalog, context) for context in users)
    assert total.item() == pytest.approx(-(first[4] + first[9] + first[1] + second[7]), rel=1e-5)
    assert count == 12


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), items=st.integers(1, 40), excluded=st.floats(0, 1))
def test_a_wide_beam_ranks_as_exhaustive_scoring(seed: int, items: int, excluded: float) -> None:
    catalog = catalog_of(seed, items)
    model, context = tiger(seed, catalog), user(seed, catalog)
    rng = np.random.default_rng(seed)
    forbidden = {item for item in catalog.item_ids if rng.random() < excluded}
    slate = TigerRecommender(model, catalog, 64).recommend([context], 6, [forbidden])[0]
    scores = scores_of_all(model, catalog, context)
    left = [p for p, item in enumerate(catalog.item_ids) if item not in forbidden]
    best = sorted(left, key=lambda p: -scores[p])[:6]
    assert slate.item_ids == tuple(catalog.item_ids[p] for p in best)
    assert slate.scores == pytest.approx([scores[p] for p in best], abs=1e-4)


def test_a_beam_narrower_than_the_slate_is_widened() -> None:
    catalog = catalog_of(0, 30)
    model, users = tiger(0, catalog), [user(seed, catalog) for seed in range(4)]
    narrow, wide = (TigerRecommender(model, catalog, width).recommend(users, 8) for width in (1, 8))
    assert narrow == wide
    assert all(len(slate.item_ids) == 8 for slate in narrow)


@pytest.mark.parametrize("scored", [False, True])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), excluded=st.floats(0, 1))
def test_items_of_a_shared_id_follow_each_other_by_priority_or_score(
    scored: bool, seed: int, excluded: float
) -> None:
    catalog = shared_catalog(seed)
    rng = np.random.default_rng(seed)
    given_scores = rng.permutation(12).astype(np.float32)
    forbidden = {item for item in catalog.item_ids if rng.random() < excluded}
    model, context = tiger(seed, catalog), user(seed, catalog)
    recommender = TigerRecommender(
        model, catalog, 4, item_scores=torch.from_numpy(given_scores) if scored else None
    )
    slate = recommender.recommend([context], 10, [forbidden])[0]
    order = given_scores if scored else catalog.priority
    assert order is not None
    scores = scores_of_all(model, catalog, context).round(4)
    left = [p for p, item in enumerate(catalog.item_ids) if item not in forbidden]
    best = sorted(left, key=lambda p: (-scores[p], -order[p]))[:10]
    assert slate.item_ids == tuple(catalog.item_ids[p] for p in best)


def test_an_empty_slate_or_beam_is_refused() -> None:
    catalog = catalog_of(0, 20)
    model = tiger(0, catalog)
    with pytest.raises(InputError, match="slate size 0: at least 1"):
        TigerRecommender(model, catalog, 4).recommend([UserContext("u")], 0)
    with pytest.raises(InputError, match="beam width 0: at least 1"):
        TigerRecommender(model, catalog, 0).recommend([UserContext("u")], 3)
