"""Engine `cpu` against the same arithmetic in plain torch. Run: pytest tests/decode/test_int8.py"""

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from higr.catalog import Catalog
from higr.config import ExpertsConfig, ModelConfig
from higr.decode.engines import build_engine
from higr.decode.engines.int8 import Int8HiGR, Int8OneRec
from higr.decode.engines.native import Int8Linear, Scratch
from higr.decode.slate import DecodedSlates, SlateModel, decode_slates
from higr.eligibility import Exclusions
from higr.errors import EngineError
from higr.model.higr import HiGR
from higr.model.inputs import ContextBatch, ProfileVocabulary, encode_contexts
from higr.peers.onerec import OneRec
from higr.peers.onerec_decode import Rule, decode_flat
from higr.slate import UserContext
from tests.peers.small import catalog_of
from tests.tools import require_int8_kernels


@pytest.fixture(autouse=True)
def kernels() -> None:
    require_int8_kernels()


SHAPES = {
    "plain": {},
    "narrow heads": {"width": 96, "heads": 4, "feedforward": 100},
    "shared keys": {"heads": 4, "kv_heads": 2, "width": 64},
    "no context in the generator": {"generator_context": False},
    "a generator a position": {"shared_generator": False},
    "deep generator": {"generator_layers": 2, "planner_layers": 1},
    "codes as tokens": {"history_tokens": "code", "profile_tokens": "field"},
}
PROFILES = ProfileVocabulary({"age": ("old", "young")})
CATALOG = catalog_of(seed=0, items=60, depth=3, size=5)


def config(changes: dict[str, object]) -> ModelConfig:
    usual = {"width": 32, "heads": 2, "feedforward": 48, "encoder_layers": 2, "planner_layers": 2}
    return ModelConfig.model_validate(
        {**usual, "generator_layers": 1, "history_length": 6, "max_slate_size": 5, **changes}
    )


def strong(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)
        else:
            nn.init.normal_(parameter, mean=1.0, std=0.2)


def higr(changes: dict[str, object], seed: int = 0) -> HiGR:
    torch.manual_seed(seed)
    model = HiGR(config(changes), 3, 5, PROFILES, "").eval()
    strong(model)
    return model


def contexts(seed: int, count: int, model: HiGR | OneRec, catalog: Catalog = CATALOG) -> ContextBatch:
    rng = np.random.default_rng(seed)
    users = []
    for user in range(count):
        length = int(rng.integers(0, 8))
        items = tuple(catalog.item_ids[i] for i in rng.integers(0, len(catalog), length))
        levels = tuple(rng.integers(0, 4, length).tolist())
        users.append(UserContext(str(user), items, levels, {"age": "old"} if user % 2 else {}))
    return encode_contexts(users, catalog, model.profiles, model.config)


def quantised_rows(x: Tensor) -> Tensor:
    """Every row as the nearest of 255 equal steps between plus and minus its largest magnitude."""
    step = x.abs().amax(dim=-1, keepdim=True) / 127
    return torch.where(step > 0, (x / step).round() * step, 0.0)


class FakeInt8(nn.Module):
    """A linear layer whose inputs and weights are rounded as int8, in float64."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.quantised = quantised_rows(weight.detach())
        self.in_features, self.out_features = weight.shape[1], weight.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        return (quantised_rows(x).double() @ self.quantised.double().T).float()


class FakeHead:
    """`x @ head[level].T` as int8."""

    def __init__(self, head: Tensor) -> None:
        self.levels = [FakeInt8(level) for level in head]

    def __getitem__(self, level: int) -> "FakeHead":
        picked = FakeHead.__new__(FakeHead)
        picked.levels = [self.levels[level]]
        return picked

    @property
    def T(self) -> "FakeHead":
        return self

    def __rmatmul__(self, x: Tensor) -> Tensor:
        made: Tensor = self.levels[0](x)
        return made


def fake_int8(model: HiGR | OneRec) -> HiGR | OneRec:
    """The model itself with rounded linear layers: what the kernels must agree with."""
    copy = deepcopy(model)
    for module in list(copy.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, FakeInt8(child.weight))
    owner = copy.generator if isinstance(copy, HiGR) else copy
    head = owner.head
    del owner._parameters["head"]
    object.__setattr__(owner, "head", FakeHead(head))
    return copy


def decode(model: SlateModel, batch: ContextBatch, size: int = 5) -> DecodedSlates:
    rows = len(batch)
    return decode_slates(model, CATALOG, batch, [size] * rows, Exclusions(CATALOG.tree, [[]] * rows, size), 3)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    inputs=st.integers(1, 90),
    outputs=st.integers(1, 150),
    seed=st.integers(0, 1000),
)
def test_a_linear_layer_is_a_product_of_rounded_rows(rows: int, inputs: int, outputs: int, seed: int) -> None:
    torch.manual_seed(seed)
    weight, x = (
        torch.randn(outputs, inputs),
        torch.randn(rows, inputs) * 10 ** torch.randint(-3, 4, (rows, 1)),
    )
    expected = quantised_rows(x).double() @ quantised_rows(weight).double().T
    made = Int8Linear(weight, Scratch())(x).double()
    # A number half-way between two steps may fall to either side of it.
    off = (made - expected).abs() > 1e-4 * expected.abs().amax(dim=1, keepdim=True)
    assert made.shape == expected.shape
    assert off.float().mean() < 0.02
    torch.testing.assert_close(made, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))


def test_rows_of_zeros_give_zeros() -> None:
    made = Int8Linear(torch.randn(20, 12), Scratch())(torch.zeros(3, 12))
    assert torch.equal(made, torch.zeros(3, 20))


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
@torch.inference_mode()
def test_every_step_equals_the_model_with_rounded_layers(changes: dict[str, object]) -> None:
    model = higr(changes)
    engine, oracle = Int8HiGR(model), fake_int8(model)
    assert isinstance(oracle, HiGR)
    batch = contexts(1, 4, model)
    made, expected = engine.encode(batch, CATALOG.code_tensor), oracle.encode(batch, CATALOG.code_tensor)
    chosen = torch.tensor([3, 1, 4, 1])
    item, plans, oracle_plans = None, None, None
    for position in range(3):
        plan, plans = engine.plan_step(made, position, item, plans)
        oracle_plan, oracle_plans = oracle.plan_step(expected, position, item, oracle_plans)
        torch.testing.assert_close(plan, oracle_plan, rtol=0.01, atol=0.02)
        x, oracle_x, beams, oracle_beams = plan[:, None], oracle_plan[:, None], None, None
        for level in range(3):
            logits, beams = engine.generate_step(made, position, level, x, beams)
            oracle_logits, oracle_beams = oracle.generate_step(
                expected, position, level, oracle_x, oracle_beams
            )
            torch.testing.assert_close(logits, oracle_logits, rtol=0.02, atol=0.15)
            assert (logits - oracle_logits).abs().mean() < 0.02
            codes = torch.tensor([[0, 2], [1, 1], [4, 3], [2, 0]])
            x = oracle_x = model.embedding.level(level, codes)
            if level == 0:
                rows = torch.arange(4).repeat_interleave(2)
            else:  # every beam goes on from its neighbour
                rows = torch.tensor([1, 0, 3, 2, 5, 4, 7, 6])
            beams, oracle_beams = beams.take(rows), oracle_beams.take(rows)
        item = model.embedding.items(CATALOG.code_tensor[chosen])


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_a_slate_does_not_depend_on_the_batch(changes: dict[str, object]) -> None:
    engine = Int8HiGR(higr(changes))
    batch = contexts(2, 9, higr(changes))
    together = decode(engine, batch)
    for row in range(len(batch)):
        alone = decode(engine, batch[row : row + 1])
        assert torch.equal(alone.items[0], together.items[row])
        assert torch.equal(alone.scores[0], together.scores[row])


@pytest.mark.parametrize("rule", ["session", "greedy"])
def test_the_flat_decoder_runs_on_the_same_kernels(rule: Rule) -> None:
    torch.manual_seed(0)
    model = OneRec(config({}), 3, 5, PROFILES, "").eval()
    strong(model)
    batch = contexts(4, 6, model)
    slates = [
        decode_flat(made, CATALOG, batch, 4, Exclusions(CATALOG.tree, [[]] * 6, 4), 3, rule)
        for made in (Int8OneRec(model), fake_int8(model))
    ]
    assert (slates[0].items == slates[1].items).float().mean() > 0.8
    same = slates[0].items == slates[1].items
    torch.testing.assert_close(slates[0].scores[same], slates[1].scores[same], rtol=0.05, atol=0.1)


def test_the_past_is_shared_and_never_copied() -> None:
    engine = Int8HiGR(higr({}))
    context = engine.encode(contexts(5, 2, higr({})), CATALOG.code_tensor)
    with torch.inference_mode():
        _, first = engine.plan_step(context, 0, None, None)
        taken = first.take(torch.tensor([1, 1, 0]))
    assert len(taken) == 3
    assert taken.positions[0] is first.positions[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Int8HiGR(higr({"width": 24})), "width 24 is no multiple of 16"),
        (lambda: Int8OneRec(OneRec(config({}), 3, 5, PROFILES, "", ExpertsConfig())), "mixture of experts"),
        (lambda: Int8HiGR(higr({}).half()), "float16 on cpu; give it the model in float32"),
        (lambda: build_engine("tpu", higr({})), "engine 'tpu': engines are"),
    ],
)
def test_what_the_engine_cannot_run(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(EngineError, match=message):
        make()


def test_caches_of_another_batch_are_refused() -> None:
    engine = Int8HiGR(higr({}))
    context = engine.encode(contexts(5, 2, higr({})), CATALOG.code_tensor)
    _, caches = engine.plan_step(context, 0, None, None)
    with pytest.raises(ValueError, match="of others"):
        engine.plan_step(context, 1, torch.zeros(2, 32), caches.take(torch.tensor([0])))


def test_auto_falls_back_to_the_model_itself() -> None:
    runs, does_not = higr({}), higr({"width": 24})
    assert isinstance(build_engine("auto", runs), Int8HiGR)
    assert build_engine("auto", does_not) is does_not
    assert build_engine("reference", runs) is runs
