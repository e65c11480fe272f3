"""Run: pytest tests/benchmarks/test_training.py"""

import pytest
import torch
from torch.nn import functional as F

from benchmarks.gemms import Gemms
from benchmarks.training import Case, Interval, loader_speed, markdown, step_cost
from higr.config import ModelConfig

CPU = torch.device("cpu")


def test_products_of_a_layer_are_counted_forward_and_backward() -> None:
    layer = torch.nn.Linear(3, 5)
    x = torch.ones(2, 7, 3, requires_grad=True)
    with Gemms() as gemms:
        layer(x).sum().backward()
    assert gemms.flops == 3 * 2 * (14 * 3 * 5)  # output, gradient of the input, gradient of the weights
    gemms.run(CPU)


def test_attention_is_two_products_forward_and_five_backward() -> None:
    q, k, v = (torch.randn(2, 4, size, 8, requires_grad=True) for size in (5, 6, 6))
    with Gemms() as gemms:
        F.scaled_dot_product_attention(q, k, v).sum().backward()
    assert gemms.flops == (2 + 5) * 2 * (2 * 4) * (5 * 6 * 8)
    gemms.run(CPU)


def test_intervals_are_percentiles() -> None:
    assert Interval.of(list(range(101))) == Interval(50, 5, 95)
    assert str(Interval(1234.5, 1.0, 2.0)) == "1,234.50 (1.00-2.00)"


def test_a_step_is_measured_and_the_page_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.training.ROWS", 256)
    monkeypatch.setattr("benchmarks.training.STEPS", 3)
    loader, opened = loader_speed(64, seed=0)
    case = Case("tiny", ModelConfig(width=16, heads=2, feedforward=32, history_length=4), 8)
    step = step_cost(case, loader, seed=0)
    assert step.ratio.low <= step.ratio.median <= step.ratio.high
    assert step.slates_per_s.median == pytest.approx(8e3 / step.step_ms.median)
    assert step.loader_ratio == pytest.approx(loader.median / step.slates_per_s.median)
    page = markdown(
        {
            "machine": {"cpu": "c", "threads": 1, "cores": 2, "torch": "t", "gpu": None},
            "seed": 0,
            "loader": {
                "rows": 256,
                "shards": 8,
                "slates_per_s": {"median": 1, "low": 1, "high": 1},
                "open_s": opened,
            },
            "steps": [],
            "processes": {"one_process": [1.0], "largest_relative_difference": 2e-7},
        }
    )
    assert "no GPU, so no utilisation" in page
    assert "to 2.0e-07 (largest relative difference over 1 steps)" in page
