"""Run: pytest tests/decode"""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.decode.beam import beam_search
from higr.decode.recommender import HiGRRecommender
from higr.errors import InputError
from higr.model.higr import HiGR
from higr.model.inputs import ProfileVocabulary, encode_contexts
from higr.slate import UserContext

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


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 5), items=st.integers(1, 30))
def test_beam_search_equals_beam_search_over_lists(seed: int, width: int, items: int) -> None:
    catalog = random_catalog(seed, items, 3, 4)
    rng = np.random.default_rng(seed)
    eligible = torch.from_numpy(rng.random((2, len(catalog))) < 0.7)
    table = torch.from_numpy(rng.normal(size=(3, 4))).log_softmax(-1)

    beams = beam_search(
        catalog.tree,
        eligible,
        width,
        lambda level, parents, codes: table[level].expand(2, 1 if codes is None else codes.shape[1], -1),
    )
    for row in range(2):
        allowed = [tuple(catalog.codes[i]) for i in range(len(catalog)) if eligible[row, i]]
        kept = [((), 0.0)]
        for level in range(3):
            grown = [
                ((*prefix, code), score + table[level, code].item())
                for prefix, score in kept
                for code in range(4)
                if any(codes[: level + 1] == (*prefix, code) for codes in allowed)
            ]
            kept = sorted(grown, key=lambda beam: -beam[1])[:width]
        found = beams.scores[row][beams.scores[row] > -torch.inf]
        assert found.tolist() == pytest.approx([score for _, score in kept], abs=1e-5)


def test_a_context_decodes_the_same_alone_and_in_a_batch() -> None:
    catalog = random_catalog(0, 30, 3, 4)
    recommender = HiGRRecommender(random_model(0, catalog), catalog, 5)
    contexts = [random_context(seed, catalog) for seed in range(6)]
    together = recommender.recommend(contexts, 4)
    alone = [recommender.recommend([context], 4)[0] for context in contexts]
    assert [s.item_ids for s in together] == [s.item_ids for s in alone]


def test_disabled_items_are_never_shown() -> None:
    catalog = random_catalog(0, 20, 3, 4)
    disabled = catalog.item_ids[:15]
    recommender = HiGRRecommender(random_model(0, catalog), catalog, 5, disabled)
    assert set(recommender.recommend([UserContext("u")], 8)[0].item_ids) == set(catalog.item_ids[15:])


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
