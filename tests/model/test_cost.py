"""What the sizes cost, against counts by hand. Run: pytest tests/model"""

import pytest

from higr.config import SIZES, ModelConfig
from higr.model.cost import training_cost

MILLIONS = {"nano": 1, "small": 5, "base": 25, "large": 100, "xl-1b": 1000, "xl-2b": 2000}


@pytest.mark.parametrize("size", SIZES)
def test_sizes_have_the_parameters_they_are_named_for(size: str) -> None:
    cost = training_cost(ModelConfig(size=size), 3, 256, batch=1, slate=10)
    assert cost.parameters == pytest.approx(MILLIONS[size] * 1e6, rel=0.06)


def test_flops_are_those_of_the_matrix_products() -> None:
    """Six a weight and token, three times those of attention, head included; counted by hand."""
    config = ModelConfig(
        width=16,
        heads=2,
        feedforward=24,
        encoder_layers=1,
        planner_layers=1,
        generator_layers=1,
        history_length=7,
    )
    batch, slate, depth, size = 2, 5, 3, 11
    c, f, s, codes = 16, 24, 8, slate * depth
    block, cross = 4 * c * c + 3 * c * f, 2 * c * c  # weights a token; of q and out of the cross-attention
    encoder = s * (block + 2 * s * c)
    planner = slate * (block + cross + 2 * s * c + 2 * slate * c)
    generator = codes * (block + cross + 2 * s * c + 2 * depth * c)
    projections = 2 * s * 2 * c * c  # keys and values of the context, for planner and generator
    head = codes * c * size + slate * c * c  # and the projection of the plan
    by_hand = 6 * batch * (encoder + planner + generator + projections + head)
    assert training_cost(config, depth, size, batch, slate).flops == pytest.approx(by_hand, rel=0.01)


def test_memory_is_shared_but_for_activations() -> None:
    cost = training_cost(ModelConfig(size="nano"), 3, 64, batch=4, slate=5)
    assert cost.memory() == 16 * cost.parameters + cost.activations
    assert cost.memory(4) == 4 * cost.parameters + cost.activations
    twice = training_cost(ModelConfig(size="nano"), 3, 64, batch=8, slate=5)
    assert twice.activations == pytest.approx(2 * cost.activations, rel=0.02)
