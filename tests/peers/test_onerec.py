"""The flat decoder: causality, caches, losses, and both rules against slates scored one by one.

Run: pytest tests/peers/test_onerec.py
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from higr.catalog import Catalog
from higr.config import ExpertsConfig
from higr.errors import InputError
from higr.model.inputs import PADDING, ContextBatch
from higr.peers.moe import MixtureOfExperts
from higr.peers.onerec import OneRec
from higr.peers.onerec_decode import Rule
from higr.peers.recommenders import OneRecRecommender
from higr.slate import UserContext
from higr.stand_ins import find_stand_ins
from higr.training.checkpoint import model_identity
from tests.peers.small import EXPERTS, batch_of, catalog_of, onerec, user

FORMS = pytest.mark.parametrize("experts", [None, EXPERTS], ids=["dense", "experts"])


def gains(model: OneRec, catalog: Catalog, batch: ContextBatch, slate: list[int]) -> list[float]:
    """Log-probability of each item of one slate, or of its stand-in, by teacher forcing."""
    told = catalog.codes if catalog.stand_ins is None else catalog.stand_ins
    codes = torch.from_numpy(told[[slate]]).long()
    with torch.inference_mode():
        logits = model.slate_logits(model.encode(batch, catalog.code_tensor), codes)
    return logits.log_softmax(-1).gather(-1, codes[..., None])[0, :, :, 0].sum(dim=1).tolist()


@FORMS
def test_changing_a_code_changes_no_logit_before_or_at_it(experts: ExpertsConfig | None) -> None:
    catalog = catalog_of(0, 30)
    model = onerec(0, catalog, experts)
    context = model.encode(batch_of([user(3, catalog), user(4, catalog)], catalog), catalog.code_tensor)
    slates = catalog.code_tensor[torch.tensor([[0, 5, 9, 2], [3, 1, 0, 7]])]
    before = model.slate_logits(context, slates)
    assert before.shape == (2, 4, 3, 4)
    before = before.flatten(1, 2)  # (B, M * D, K)
    for place in range(12):
        changed = slates.clone().flatten(1)
        changed[:, place] = (changed[:, place] + 1) % 4
        after = model.slate_logits(context, changed.view_as(slates)).flatten(1, 2)
        torch.testing.assert_close(after[:, : place + 1], before[:, : place + 1])
        if place < 11:
            assert not torch.allclose(after[:, place + 1], before[:, place + 1])


@FORMS
def test_one_step_at_a_time_equals_all_positions_at_once(experts: ExpertsConfig | None) -> None:
    catalog = catalog_of(1, 30)
    model = onerec(1, catalog, experts)
    context = model.encode(batch_of([user(3, catalog), user(0, catalog)], catalog), catalog.code_tensor)
    slates = catalog.code_tensor[torch.tensor([[0, 5, 9], [3, 1, 0]])]
    at_once = model.slate_logits(context, slates)
    caches = None
    for position in range(3):
        logits, caches = model.start_step(context, position, 1, caches)
        for level in range(3):
            torch.testing.assert_close(logits[:, 0], at_once[:, position, level], atol=1e-4, rtol=1e-4)
            logits, caches = model.code_step(
                context, position, level, slates[:, position, level, None], caches
            )


def test_losses_are_summed_over_the_codes_of_items_that_are_there() -> None:
    catalog = catalog_of(2, 20)
    model = onerec(2, catalog)
    users = [user(4, catalog), user(0, catalog)]
    items = torch.tensor([[4, 9, 1], [7, PADDING, PADDING]])
    total, count = model.losses(batch_of(users, catalog), items, catalog.code_tensor)
    expected = sum(gains(model, catalog, batch_of(users[:1], catalog), [4, 9, 1]))
    expected += sum(gains(model, catalog, batch_of(users[1:], catalog), [7]))
    assert total.item() == pytest.approx(-expected, rel=1e-5)
    assert count == 12


def test_training_adds_the_balance_of_the_tokens_that_are_there() -> None:
    catalog = catalog_of(2, 20)
    batch = batch_of([user(4, catalog), user(0, catalog)], catalog)
    items = torch.tensor([[4, 9, 1], [7, PADDING, PADDING]])
    model = onerec(2, catalog, EXPERTS.model_copy(update={"balance_weight": 0.5}))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    plain, _ = model.losses(batch, items, catalog.code_tensor)
    total, count = model.train().losses(batch, items, catalog.code_tensor)
    slates = catalog.code_tensor[items.clamp(min=0)]
    model.slate_logits(model.encode(batch, catalog.code_tensor), slates)
    tokens = torch.tensor([[True] * 12, [True] * 4 + [False] * 8])
    layers = [m for m in model.modules() if isinstance(m, MixtureOfExperts)]
    assert len(layers) == 2
    balance = sum(layer.balance(tokens) for layer in layers) / 2
    torch.testing.assert_close(total, plain + 0.5 * count * balance)
    total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layers[0].parameters())


@FORMS
def test_training_lowers_the_loss(experts: ExpertsConfig | None) -> None:
    catalog = catalog_of(3, 20)
    torch.manual_seed(0)
    fresh = onerec(0, catalog, experts)
    model = OneRec(fresh.config, 3, 4, fresh.profiles, "", experts).train()
    batch = batch_of([user(seed, catalog) for seed in range(6)], catalog)
    items = torch.tensor([[seed, seed + 6, PADDING] for seed in range(6)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    values = []
    for _ in range(40):
        total, count = model.losses(batch, items, catalog.code_tensor)
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
        values.append((total / count).item())
    assert values[0] == pytest.approx(np.log(4), abs=0.1)
    assert values[-1] < 0.6 * values[0]


@FORMS
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_session_beam_finds_the_likeliest_slate_of_all(
    seed: int, experts: ExpertsConfig | None
) -> None:
    """7 items, slates of 3: 210 of them; two of the users may see fewer."""
    catalog = catalog_of(seed, 7)
    model = onerec(seed, catalog, experts)
    users = [user(seed, catalog), user(seed + 3, catalog), user(0, catalog)]
    exclude = [set(), {catalog.item_ids[2]}, set(catalog.item_ids[:3])]
    slates = OneRecRecommender(model, catalog, 400, "session").recommend(users, 3, exclude)
    for context, forbidden, slate in zip(users, exclude, slates, strict=True):
        left = [p for p, item in enumerate(catalog.item_ids) if item not in forbidden]
        batch = batch_of([context], catalog)
        every = {s: gains(model, catalog, batch, list(s)) for s in itertools.permutations(left, 3)}
        best = max(every, key=lambda s: sum(every[s]))
        assert slate.item_ids == tuple(catalog.item_ids[p] for p in best)
        assert slate.scores == pytest.approx(every[best], abs=1e-4)


@FORMS
@pytest.mark.parametrize(("seed", "width"), [(0, 1), (1, 2), (2, 5), (3, 9)])
def test_the_session_beam_equals_one_over_lists(seed: int, width: int, experts: ExpertsConfig | None) -> None:
    """Without caches: every beam is scored anew, code by code."""
    catalog = catalog_of(seed, 12)
    model, context = onerec(seed, catalog, experts), user(seed + 2, catalog)
    batch = batch_of([context], catalog)
    allowed = [tuple(codes) for codes in catalog.codes.tolist()]
    encoded = model.encode(batch, catalog.code_tensor)
    beams: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    for place in range(9):
        grown = []
        for told, score in beams:
            done = [told[i : i + 3] for i in range(0, place - place % 3, 3)]
            prefix = told[place - place % 3 :]
            padded = torch.tensor([*told, *[0] * (9 - place)]).view(1, 3, 3)
            with torch.inference_mode():
                logits = model.slate_logits(encoded, padded)[0].flatten(0, 1)[place]
            live = {c[: len(prefix) + 1] for c in allowed if c not in done}
            grown += [
                ((*told, code), score + float(gained))
                for code, gained in enumerate(logits.log_softmax(-1))
                if (*prefix, code) in live
            ]
        beams = sorted(grown, key=lambda beam: -beam[1])[:width]
    slate = OneRecRecommender(model, catalog, width, "session").recommend([context], 3)[0]
    assert tuple(itertools.chain(*slate.semantic_ids)) == beams[0][0]
    assert sum(slate.scores) == pytest.approx(beams[0][1], abs=1e-4)


@FORMS
@pytest.mark.parametrize("seed", range(4))
def test_greedy_takes_the_likeliest_item_at_each_position(seed: int, experts: ExpertsConfig | None) -> None:
    """Scored without caches, all items at every position."""
    catalog = catalog_of(seed, 15)
    model, context = onerec(seed, catalog, experts), user(seed + 1, catalog)
    batch = batch_of([context], catalog)
    slate = OneRecRecommender(model, catalog, 64, "greedy").recommend([context], 4)[0]
    taken: list[int] = []
    for item, score in zip(slate.item_ids, slate.scores, strict=True):
        totals = {p: gains(model, catalog, batch, [*taken, p])[-1] for p in range(15) if p not in taken}
        best = max(totals, key=totals.__getitem__)
        assert catalog.position[item] == best
        assert score == pytest.approx(totals[best], abs=1e-4)
        taken.append(best)


@pytest.mark.parametrize("rule", ["session", "greedy"])
@pytest.mark.parametrize("seed", range(8))
def test_what_came_after_training_is_told_and_scored_as_its_stand_in(seed: int, rule: Rule) -> None:
    plain = catalog_of(seed, 12)
    books = np.random.default_rng(seed).normal(size=(3, 4, 2))
    stand_ins = find_stand_ins(plain.codes, plain.codes[::4], books)
    catalog = replace(plain, stand_ins=stand_ins)
    new = (stand_ins != plain.codes).any(axis=1)
    model, context = onerec(seed, catalog), user(seed + 1, catalog)
    batch = batch_of([context], catalog)
    recommender = OneRecRecommender(model, catalog, 200, rule, cold_discount=0.1)
    left = np.flatnonzero(new).tolist()  # those it resembles are excluded, so a new one comes first
    exclude = {item for place, item in enumerate(catalog.item_ids) if not new[place]}
    slate = recommender.recommend([context], 2, [exclude])[0]

    def scored(items: tuple[int, ...]) -> list[float]:
        return [
            gained - 0.1 * new[item]
            for gained, item in zip(gains(model, catalog, batch, list(items)), items, strict=True)
        ]

    found = tuple(catalog.position[item] for item in slate.item_ids)
    assert slate.scores == pytest.approx(scored(found), abs=1e-4)
    every = {pair: scored(pair) for pair in itertools.permutations(left, 2)}
    if rule == "session":
        assert sum(every[found]) == pytest.approx(max(map(sum, every.values())), abs=1e-4)
    else:
        assert every[found][0] == pytest.approx(max(first for first, _ in every.values()), abs=1e-4)
        rest = [second for pair, (_, second) in every.items() if pair[0] == found[0]]
        assert every[found][1] == pytest.approx(max(rest), abs=1e-4)


def test_a_beam_of_one_is_the_same_by_both_rules() -> None:
    catalog = catalog_of(5, 30)
    model = onerec(5, catalog)
    users = [user(seed, catalog) for seed in range(6)]
    session, greedy = (
        OneRecRecommender(model, catalog, 1, r).recommend(users, 5) for r in ("session", "greedy")
    )
    assert [s.item_ids for s in session] == [s.item_ids for s in greedy]


def test_the_session_beam_looks_ahead() -> None:
    """Over many models it never finds a less likely slate than greedy does, and some better ones."""
    better = 0
    for seed in range(12):
        catalog = catalog_of(seed, 20)
        model = onerec(seed, catalog)
        found = {
            rule: sum(OneRecRecommender(model, catalog, 400, rule).recommend([user(1, catalog)], 2)[0].scores)
            for rule in ("session", "greedy")
        }
        assert found["session"] >= found["greedy"] - 1e-4
        better += found["session"] > found["greedy"] + 1e-4
    assert better > 0


@pytest.mark.parametrize("rule", ["session", "greedy"])
def test_a_slate_longer_than_the_model_can_make_is_refused(rule: Rule) -> None:
    catalog = catalog_of(0, 20)
    recommender = OneRecRecommender(onerec(0, catalog), catalog, 4, rule)
    for size in (0, 9):
        with pytest.raises(InputError, match=f"slate size {size}: this model plans 1 to 8 items"):
            recommender.recommend([UserContext("u")], size)
    with pytest.raises(InputError, match="beam width 0: at least 1"):
        OneRecRecommender(onerec(0, catalog), catalog, 0, rule).recommend([UserContext("u")], 3)


def test_a_model_of_another_codebook_is_refused() -> None:
    model = onerec(0, catalog_of(0, 20))
    with pytest.raises(InputError, match="3 codes of 4, the catalogue has 3 of 5"):
        OneRecRecommender(model, catalog_of(0, 20, size=5), 4, "greedy")


def test_a_training_is_not_gone_on_with_by_other_experts() -> None:
    """No tensor says how many experts a token goes to, or how much their balance weighs."""
    catalog = catalog_of(0, 30)
    other = EXPERTS.model_copy(update={"chosen": 1, "balance_weight": 0.5})
    one, two = (model_identity(onerec(0, catalog, e), catalog.code_tensor) for e in (EXPERTS, other))
    assert {name for name in one if one[name] != two[name]} == {"experts.chosen", "experts.balance_weight"}
    assert model_identity(onerec(0, catalog), catalog.code_tensor).keys() < one.keys()
