"""SASRec against torch's own encoder layers and by hand. Run: pytest tests/peers/test_sasrec.py"""

import pytest
import torch
from torch import nn

from higr.config import ModelConfig
from higr.model.inputs import PADDING, ContextBatch
from higr.peers.sasrec import SASRec

ITEMS = 9
CONFIG = ModelConfig(width=8, heads=2, encoder_layers=2, feedforward=8, history_length=5, dropout=0.0)
CODES = torch.zeros((ITEMS, 2), dtype=torch.long)


@pytest.fixture
def model() -> SASRec:
    torch.manual_seed(0)
    model = SASRec(CONFIG, ITEMS).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def batch(items: list[list[int]], feedback: list[list[int]] | None = None) -> ContextBatch:
    there = torch.tensor(items)
    levels = torch.tensor(feedback) if feedback else torch.full_like(there, 2)
    return ContextBatch(there.int(), levels.to(torch.int8), torch.empty((len(items), 0), dtype=torch.int32))


def test_equals_torchs_own_layers(model: SASRec) -> None:
    history = torch.tensor([[3, 1, 4, 1, 5], [0, 2, 8, 7, 6]])
    x = model.item_embedding(history) * 8**0.5 + model.position_embedding.weight
    for block in model.blocks:
        layer = nn.TransformerEncoderLayer(8, 2, 8, 0.0, batch_first=True, norm_first=True)
        attention = layer.self_attn
        with torch.no_grad():
            attention.in_proj_weight.copy_(torch.cat([block.q.weight, block.k.weight, block.v.weight]))
            attention.in_proj_bias.copy_(torch.cat([block.q.bias, block.k.bias, block.v.bias]))
        attention.out_proj.load_state_dict(block.out.state_dict())
        layer.linear1.load_state_dict(block.up.state_dict())
        layer.linear2.load_state_dict(block.down.state_dict())
        layer.norm1.load_state_dict(block.attn_norm.state_dict())
        layer.norm2.load_state_dict(block.ffn_norm.state_dict())
        x = layer(x, src_mask=nn.Transformer.generate_square_subsequent_mask(5), is_causal=True)
    torch.testing.assert_close(model(history), model.norm(x), atol=1e-5, rtol=1e-5)


def test_changing_an_item_changes_nothing_before_it(model: SASRec) -> None:
    history = torch.tensor([[3, 1, 4, 1, 5]])
    before = model(history)
    for place in range(5):
        changed = history.clone()
        changed[0, place] = 7
        after = model(changed)
        torch.testing.assert_close(after[:, :place], before[:, :place])
        assert not torch.allclose(after[:, place], before[:, place])


def test_padding_has_no_influence_on_items_behind_it(model: SASRec) -> None:
    history = torch.tensor([[ITEMS, ITEMS, 4, 1, 5]])
    before = model(history)
    with torch.no_grad():
        model.item_embedding.weight[-1] += 1
    torch.testing.assert_close(model(history)[:, 2:], before[:, 2:])


def test_the_history_is_its_engaged_items(model: SASRec) -> None:
    contexts = batch([[PADDING, 2, 5, 3, 1], [PADDING] * 5, [1, 2, 3, 4, 5]], [[0, 3, 1, 2, 0]] * 3)
    assert model.engaged(contexts).tolist() == [[9, 9, 9, 2, 3], [9] * 5, [9, 9, 9, 2, 4]]


def test_losses_by_hand_in_evaluation_and_in_training(model: SASRec) -> None:
    contexts = batch([[PADDING, PADDING, 4, 1, 5], [PADDING] * 5])
    items = torch.tensor([[7, 2, PADDING], [0, PADDING, PADDING]])
    log_probs = model.scores(model(model.engaged(contexts))).log_softmax(-1)  # (2, 5, 9)
    slate = -(log_probs[0, 4, 7] + log_probs[0, 4, 2] + log_probs[1, 4, 0])
    total, count = model.losses(contexts, items, CODES)
    torch.testing.assert_close(total, slate)
    assert count == 3
    total, count = model.train().losses(contexts, items, CODES)
    torch.testing.assert_close(total, slate - log_probs[0, 2, 1] - log_probs[0, 3, 5])
    assert count == 5


def test_a_batch_without_any_history_trains(model: SASRec) -> None:
    total, count = model.train().losses(batch([[PADDING] * 5]), torch.tensor([[3]]), CODES)
    total.backward()
    assert count == 1
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
