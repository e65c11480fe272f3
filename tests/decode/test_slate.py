"""Run: pytest tests/decode"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.decode.recommender import HiGRRecommender
from higr.decode.slate import decode_slates
from higr.eligibility import EligibleMask, Exclusions
from higr.errors import InputError
from higr.model.higr import HiGR
from higr.model.inputs import ProfileVocabulary, encode_contexts
from higr.slate import UserContext
from higr.stand_ins import find_stand_ins

TINY = ModelConfig(
    width=16,
    heads=2,
    encoder_layers=1,
    planner_layers=2,
    generator_layers=2,
    feedforward=16,
    history_length=4,
)


def random_catalog(seed: int, items: int, depth: int, size: int) -> Catalog:
    rng = np.random.default_rng(seed)
    every = np.array(list(itertools.product(range(size), repeat=depth)))
    codes = every[rng.choice(len(every), min(items, len(every)), replace=False)]
    return Catalog.build([f"item-{i}" for i in range(len(codes))], codes, size)


def random_model(seed: int, catalog: Catalog) -> HiGR:
    torch.manual_seed(seed)
    model = HiGR(TINY, catalog.depth, catalog.codebook_size, ProfileVocabulary({}), "").eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def random_context(seed: int, catalog: Catalog) -> UserContext:
    rng = np.random.default_rng(seed)
    length = int(rng.integers(0, 6))
    items = tuple(catalog.item_ids[i] for i in rng.integers(0, len(catalog), length))
    return UserContext(f"user-{seed}", items, tuple(rng.integers(0, 4, length).tolist()))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    items=st.integers(1, 40),
    depth=st.integers(2, 4),
    size=st.integers(2, 6),
    slate=st.integers(1, 8),
    width=st.integers(1, 12),
    excluded=st.floats(0, 1),
)
def test_slates_hold_distinct_eligible_items_of_the_catalogue_and_the_requested_length(
    seed: int, items: int, depth: int, size: int, slate: int, width: int, excluded: float
) -> None:
    catalog = random_catalog(seed, items, depth, size)
    recommender = HiGRRecommender(random_model(seed, catalog), catalog, width)
    rng = np.random.default_rng(seed)
    contexts = [random_context(seed + i, catalog) for i in range(3)]
    exclude = [{item for item in catalog.item_ids if rng.random() < excluded} for _ in contexts]
    for result, forbidden in zip(recommender.recommend(contexts, slate, exclude), exclude, strict=True):
        assert len(result.item_ids) == min(slate, len(catalog) - len(forbidden))
        assert len(set(result.item_ids)) == len(result.item_ids) == len(result.scores)
        assert set(result.item_ids) <= set(catalog.item_ids) - forbidden
        for item, codes in zip(result.item_ids, result.semantic_ids, strict=True):
            assert codes == tuple(catalog.codes[catalog.position[item]])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), items=st.integers(1, 30))
def test_a_beam_as_wide_as_the_catalogue_finds_the_likeliest_item_at_each_position(
    seed: int, items: int
) -> None:
    catalog = random_catalog(seed, items, 3, 4)
    model = random_model(seed, catalog)
    context = random_context(seed, catalog)
    slate = HiGRRecommender(model, catalog, 64).recommend([context], 3)[0]

    batch = encode_contexts([context], catalog, model.profiles, model.config)
    prefix: list[int] = []
    with torch.inference_mode():
        for item, score in zip(slate.item_ids, slate.scores, strict=True):
            totals = {}
            for position in set(range(len(catalog))) - set(prefix):
                codes = catalog.code_tensor[torch.tensor([[*prefix, position]])]
                log_probs = model(batch, catalog.code_tensor, codes).log_softmax(-1)
                totals[position] = log_probs[0, -1].gather(-1, codes[0, -1][:, None]).sum().item()
            best = max(totals, key=totals.__getitem__)
            assert totals[catalog.position[item]] == pytest.approx(totals[best], abs=1e-4)
            assert score == pytest.approx(totals[best], abs=1e-4)
            prefix.append(catalog.position[item])


def test_a_context_decodes_the_same_alone_and_in_a_batch() -> None:
    catalog = random_catalog(0, 30, 3, 4)
    recommender = HiGRRecommender(random_model(0, catalog), catalog, 5)
    contexts = [random_context(seed, catalog) for seed in range(6)]
    together = recommender.recommend(contexts, 4)
    alone = [recommender.recommend([context], 4)[0] for context in contexts]
    assert [s.item_ids for s in together] == [s.item_ids for s in alone]


def test_exclusions_of_any_number_decode_the_same_alone_and_in_a_batch() -> None:
    catalog = random_catalog(0, 30, 3, 4)
    recommender = HiGRRecommender(random_model(0, catalog), catalog, 5)
    contexts = [random_context(seed, catalog) for seed in range(4)]
    exclude = [set(catalog.item_ids[:count]) | {"unknown"} for count in (0, 1, 12, 30)]
    together = recommender.recommend(contexts, 4, exclude)
    assert [s.item_ids for s in together] == [
        recommender.recommend([context], 4, [items])[0].item_ids
        for context, items in zip(contexts, exclude, strict=True)
    ]
    assert [len(slate.item_ids) for slate in together] == [4, 4, 4, 0]


@pytest.mark.parametrize("allowed", [0.5, 0.1, 0.0])
def test_a_mask_decodes_what_the_same_exclusions_decode(allowed: float) -> None:
    catalog = random_catalog(0, 40, 3, 4)
    model = random_model(0, catalog)
    contexts = [random_context(seed, catalog) for seed in range(3)]
    batch = encode_contexts(contexts, catalog, model.profiles, model.config)
    mask = torch.rand((3, 40), generator=torch.manual_seed(0)) < allowed
    excluded = [(~row).nonzero()[:, 0].tolist() for row in mask]
    by_mask = decode_slates(model, catalog, batch, [8, 3, 5], EligibleMask(catalog.tree, mask), 5)
    by_list = decode_slates(model, catalog, batch, [8, 3, 5], Exclusions(catalog.tree, excluded, 7), 5)
    assert torch.equal(by_mask.items, by_list.items)
    assert torch.equal(by_mask.scores, by_list.scores)
    assert mask.gather(1, by_mask.items.clamp(min=0))[by_mask.items >= 0].all()
    lengths = torch.minimum(mask.sum(dim=1), torch.tensor([8, 3, 5]))
    assert (by_mask.items >= 0).sum(dim=1).tolist() == lengths.tolist()


def shared_catalog(seed: int) -> Catalog:
    """12 items under four semantic IDs."""
    rng = np.random.default_rng(seed)
    codes = np.array([[0, 1], [1, 0], [1, 1], [2, 0]])[np.append(rng.integers(0, 4, 8), range(4))]
    return Catalog.build([f"item-{i}" for i in range(12)], codes, 3, priority=rng.permutation(12))


@pytest.mark.parametrize("scored", [False, True])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), excluded=st.floats(0, 1))
def test_items_of_a_shared_id_come_by_falling_priority_or_score(
    scored: bool, seed: int, excluded: float
) -> None:
    catalog = shared_catalog(seed)
    rng = np.random.default_rng(seed)
    scores = rng.permutation(12).astype(np.float32)
    forbidden = {item for item in catalog.item_ids if rng.random() < excluded}
    recommender = HiGRRecommender(
        random_model(seed, catalog), catalog, 3, item_scores=torch.from_numpy(scores) if scored else None
    )
    slate = recommender.recommend([random_context(seed, catalog)], 10, [forbidden])[0]
    assert len(slate.item_ids) == len(set(slate.item_ids)) == min(10, 12 - len(forbidden))
    assert not set(slate.item_ids) & forbidden
    order = scores if scored else catalog.priority
    assert order is not None
    for code in set(slate.semantic_ids):
        shown = [
            catalog.position[i] for i, c in zip(slate.item_ids, slate.semantic_ids, strict=True) if c == code
        ]
        held = [
            position
            for position, item in enumerate(catalog.item_ids)
            if tuple(catalog.codes[position].tolist()) == code and item not in forbidden
        ]
        assert shown == sorted(held, key=lambda position: -order[position])[: len(shown)]


@pytest.mark.parametrize("scores", [torch.zeros(19), torch.full((20,), torch.nan)])
def test_item_scores_must_be_one_finite_number_an_item(scores: torch.Tensor) -> None:
    catalog = random_catalog(0, 20, 3, 4)
    with pytest.raises(InputError, match="for 20 items; one finite number an item"):
        HiGRRecommender(random_model(0, catalog), catalog, 5, item_scores=scores)


def test_disabled_items_are_never_shown() -> None:
    catalog = random_catalog(0, 20, 3, 4)
    disabled = catalog.item_ids[:15]
    recommender = HiGRRecommender(random_model(0, catalog), catalog, 5, disabled)
    assert set(recommender.recommend([UserContext("u")], 8)[0].item_ids) == set(catalog.item_ids[15:])


def test_disabled_or_excluded_stand_ins_lend_their_likelihood_all_the_same() -> None:
    plain = random_catalog(0, 40, 3, 4)
    trained = plain.codes[::3]
    books = np.random.default_rng(0).normal(size=(3, 4, 2))
    catalog = replace(plain, stand_ins=find_stand_ins(plain.codes, trained, books))
    model, users = random_model(0, catalog), [random_context(seed, catalog) for seed in range(4)]
    disabled = set(catalog.item_ids[::3])
    without = HiGRRecommender(model, catalog, 10, disabled, cold_discount=0.5)
    whole = HiGRRecommender(model, catalog, 10, cold_discount=0.5)
    assert without.recommend(users, 8) == whole.recommend(users, 8, [disabled] * 4)
    assert without.recommend(users, 8) != HiGRRecommender(model, plain, 10, disabled).recommend(users, 8)


def test_with_every_item_disabled_slates_are_empty() -> None:
    catalog = random_catalog(0, 5, 3, 4)
    recommender = HiGRRecommender(random_model(0, catalog), catalog, 5, catalog.item_ids)
    assert recommender.recommend([UserContext("u")], 3)[0].item_ids == ()


def test_a_slate_longer_than_the_planner_can_plan_is_refused() -> None:
    catalog = random_catalog(0, 20, 3, 4)
    with pytest.raises(InputError, match="slate size 11: this model plans 1 to 10 items"):
        HiGRRecommender(random_model(0, catalog), catalog, 5).recommend([UserContext("u")], 11)


def test_exclusions_must_be_one_a_context() -> None:
    catalog = random_catalog(0, 20, 3, 4)
    recommender = HiGRRecommender(random_model(0, catalog), catalog, 5)
    with pytest.raises(InputError, match="1 exclusions for 2 contexts"):
        recommender.recommend([UserContext("u"), UserContext("v")], 3, [set()])


def test_a_model_of_another_codebook_is_refused() -> None:
    model = random_model(0, random_catalog(0, 20, 3, 4))
    with pytest.raises(InputError, match="3 codes of 4, the catalogue has 3 of 5"):
        HiGRRecommender(model, random_catalog(0, 20, 3, 5), 5)
