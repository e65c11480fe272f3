"""Run: pytest tests/model"""

from pathlib import Path

import numpy as np
import pytest
import torch

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.errors import BundleError
from higr.model.higr import HiGR
from higr.model.inputs import PADDING, ContextBatch, ProfileVocabulary, encode_contexts
from higr.slate import UserContext

CONFIG = ModelConfig(
    width=16,
    heads=2,
    encoder_layers=2,
    planner_layers=2,
    generator_layers=2,
    feedforward=24,
    history_length=5,
)
PROFILES = ProfileVocabulary({"age": ("old", "young"), "city": ("A",)})


@pytest.fixture
def catalog() -> Catalog:
    codes = np.array([[a, b, c] for a in range(3) for b in range(3) for c in range(2)])
    return Catalog.build([f"i{n}" for n in range(len(codes))], codes, 4)


VARIANTS: dict[str, dict[str, object]] = {
    "as it is": {},
    "grouped queries": {"kv_heads": 1},
    "mean": {"pooling": "mean"},
    "max": {"pooling": "max"},
    "generator without context": {"generator_context": False},
    "a generator a position": {"shared_generator": False, "max_slate_size": 4},
    "history of codes": {"history_tokens": "code"},
    "a token a field": {"profile_tokens": "field"},
}


@pytest.fixture(params=VARIANTS)
def model(request: pytest.FixtureRequest) -> HiGR:
    torch.manual_seed(0)
    config = ModelConfig.model_validate(CONFIG.model_dump() | VARIANTS[request.param])
    model = HiGR(config, 3, 4, PROFILES, "tokenizer").eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def batch(catalog: Catalog) -> ContextBatch:
    contexts = [
        UserContext("a", ("i1", "i5", "i3"), (1, 2, 3), {"age": "young"}),
        UserContext("b", ("i2",), (2,), {"city": "A"}),
    ]
    return encode_contexts(contexts, catalog, PROFILES, CONFIG)


def test_logits_have_one_row_a_code(model: HiGR, catalog: Catalog, batch: ContextBatch) -> None:
    slates = catalog.code_tensor[torch.tensor([[0, 5, 9, 2], [3, 1, 0, 7]])]
    assert model(batch, catalog.code_tensor, slates).shape == (2, 4, 3, 4)


def test_changing_a_code_changes_no_logit_before_or_at_it(
    model: HiGR, catalog: Catalog, batch: ContextBatch
) -> None:
    slates = catalog.code_tensor[torch.tensor([[0, 5, 9, 2], [3, 1, 0, 7]])]
    before = model(batch, catalog.code_tensor, slates).flatten(1, 2)  # (B, M * D, K)
    for place in range(12):
        changed = slates.clone().flatten(1)
        changed[:, place] = (changed[:, place] + 1) % 4
        after = model(batch, catalog.code_tensor, changed.view_as(slates)).flatten(1, 2)
        torch.testing.assert_close(after[:, : place + 1], before[:, : place + 1])
        if place % 3 < 2:
            assert not torch.allclose(after[:, place + 1], before[:, place + 1])


def test_the_order_of_codes_inside_the_pooled_item_reaches_later_positions(
    model: HiGR, catalog: Catalog, batch: ContextBatch
) -> None:
    slates = catalog.code_tensor[torch.tensor([[0, 5, 9, 2], [3, 1, 0, 7]])]
    before = model(batch, catalog.code_tensor, slates)
    changed = slates.clone()
    changed[:, 0, 2] = 3 - changed[:, 0, 2]
    after = model(batch, catalog.code_tensor, changed)
    assert not torch.allclose(after[:, 1, 0], before[:, 1, 0])


def test_one_step_at_a_time_equals_all_positions_at_once(
    model: HiGR, catalog: Catalog, batch: ContextBatch
) -> None:
    slates = catalog.code_tensor[torch.tensor([[0, 5, 9, 2], [3, 1, 0, 7]])]
    at_once = model(batch, catalog.code_tensor, slates)
    context = model.encode(batch, catalog.code_tensor)
    planner_caches, item = None, None
    for position in range(4):
        plan, planner_caches = model.plan_step(context, position, item, planner_caches)
        caches = None
        x = plan[:, None]
        for level in range(3):
            logits, caches = model.generate_step(context, position, level, x, caches)
            torch.testing.assert_close(logits[:, 0], at_once[:, position, level], atol=1e-4, rtol=1e-4)
            x = model.embedding(slates[:, position])[:, level : level + 1]
        item = model.embedding.items(slates[:, position])


def test_padding_in_the_history_has_no_influence(model: HiGR, catalog: Catalog, batch: ContextBatch) -> None:
    slates = catalog.code_tensor[torch.tensor([[0, 5], [3, 1]])]
    before = model(batch, catalog.code_tensor, slates)
    noisy = batch.feedback.clone()
    noisy[batch.items == PADDING] = 3
    after = model(ContextBatch(batch.items, noisy, batch.profile), catalog.code_tensor, slates)
    torch.testing.assert_close(after, before)


def test_context_reaches_planner_and_generator(model: HiGR, catalog: Catalog, batch: ContextBatch) -> None:
    context = model.encode(batch, catalog.code_tensor)
    items = model.embedding.items(catalog.code_tensor[torch.tensor([[0], [0]])])
    plans = model.plan(context, items)
    assert not torch.allclose(plans[0], plans[1])
    same = plans[:1].expand(2, -1, -1)
    logits = model.generate(context, same, catalog.code_tensor[torch.tensor([[0, 5], [0, 5]])])
    assert torch.equal(logits[0], logits[1]) != model.config.generator_context


def test_items_are_pooled_as_configured(model: HiGR) -> None:
    codes = torch.tensor([[0, 3, 1], [2, 2, 2]])
    rows = model.embedding.table.weight[codes + torch.tensor([0, 4, 8])]
    pooled = {"sum": rows.sum(1), "mean": rows.sum(1) / 3, "max": rows.max(1).values}
    torch.testing.assert_close(model.embedding.items(codes), pooled[model.config.pooling])


def test_positions_have_generators_of_their_own_only_where_configured(
    model: HiGR, catalog: Catalog, batch: ContextBatch
) -> None:
    context = model.encode(batch, catalog.code_tensor)
    plan = torch.randn(2, 1, 16).expand(-1, 2, -1)
    logits = model.generate(context, plan, catalog.code_tensor[torch.tensor([[4, 4], [4, 4]])])
    assert torch.allclose(logits[:, 0], logits[:, 1], atol=1e-5) == model.config.shared_generator


def test_context_has_the_tokens_it_is_configured_for(
    model: HiGR, catalog: Catalog, batch: ContextBatch
) -> None:
    user = 1 + (len(PROFILES.fields) if model.config.profile_tokens == "field" else 0)
    mask = model.encode(batch, catalog.code_tensor).mask
    each = 3 if model.config.history_tokens == "code" else 1
    assert mask.shape == (2, user + 5 * each)
    assert mask.sum(dim=1).tolist() == [user + 3 * each, user + 1 * each]  # three events, and one


def test_keys_and_values_are_as_narrow_as_configured(
    model: HiGR, catalog: Catalog, batch: ContextBatch
) -> None:
    keys, values = model.encode(batch, catalog.code_tensor).planner[0]
    assert keys.shape[1] == values.shape[1] == (model.config.kv_heads or 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": "huge"}, "no size 'huge'; sizes are nano, small, base"),
        ({"heads": 4, "kv_heads": 3}, "heads 4 is not a multiple of kv_heads 3"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig.model_validate(changes)


def test_a_size_fills_what_was_not_given() -> None:
    config = ModelConfig(size="base", planner_layers=2)
    assert (config.width, config.heads, config.planner_layers) == (512, 8, 2)
    assert ModelConfig.model_validate(config.model_dump()) == config


def test_saved_and_loaded_weights_are_equal(model: HiGR, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = HiGR.load(tmp_path)
    assert loaded.profiles == PROFILES
    assert loaded.tokenizer_id == "tokenizer"
    for (name, one), (other_name, other) in zip(
        model.state_dict().items(), loaded.state_dict().items(), strict=True
    ):
        assert name == other_name
        assert torch.equal(one, other)


def test_weights_of_another_shape_are_refused(model: HiGR, tmp_path: Path) -> None:
    model.save(tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"codebook_size": 4', '"codebook_size": 5'))
    with pytest.raises(BundleError, match=r"does not fit config\.json"):
        HiGR.load(tmp_path)


def test_truncated_weights_are_refused(model: HiGR, tmp_path: Path) -> None:
    model.save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(BundleError, match=r"does not fit config\.json"):
        HiGR.load(tmp_path)
