"""Pictures: what is drawn adds up, and stays light."""

import re

import numpy as np
import pytest

from higr.tokenizer.figures import COLORS, OTHER, icicle, palette, usage_histogram

BOX = re.compile(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z")


def boxes(svg: str, color: str) -> list[tuple[float, ...]]:
    paths = re.findall(rf'<path fill="{color}" d="([^"]*)"', svg)
    return [tuple(float(n) for n in box) for path in paths for box in BOX.findall(path)]


def test_palette_is_by_frequency_then_name() -> None:
    colors = palette(["b", "a", "c", "c", *"defghijkl"])
    assert list(colors) == ["c", "a", "b", *"defghij"]
    assert list(colors.values()) == list(COLORS)


def test_histogram_has_a_bar_a_used_codeword() -> None:
    svg = usage_histogram(np.array([0, 0, 2, 2, 2, 5]), 8)
    assert svg.count("M") == 3
    assert ">3 items<" in svg
    assert "least used of 8" in svg


def test_icicle_by_hand() -> None:
    """Prefix 0 holds a, a, a, b in (0, 0) x 2 and (0, 1) x 2; prefix 1 holds b alone."""
    codes = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0]])
    svg = icicle(codes, ["a", "a", "a", "b", "b"], {"a": "#a", "b": "#b"})
    first = [(0.0, 0.0, 800.0, 112.5)]  # prefix 0: three quarters a
    second = [(0.0, 160.0, 400.0, 120.0), (400.0, 160.0, 400.0, 60.0)]  # pure, then half and half
    assert boxes(svg, "#a") == first + second
    assert [box[2:] for box in boxes(svg, "#b")] == [(800.0, 37.5), (200.0, 150.0), (200.0, 120.0)]
    assert "0: 4 items: a 3, b 1" in svg


def test_narrow_prefixes_are_pooled_and_the_picture_stays_light() -> None:
    rng = np.random.default_rng(0)
    categories = [f"c{i}" for i in rng.integers(30, size=30_000)]
    svg = icicle(rng.integers(1024, size=(30_000, 3)), categories, palette(categories))
    assert len(svg) < 250_000
    second = [box for color in (*COLORS, OTHER) for box in boxes(svg, color) if box[1] == 160.0]
    assert sum(box[2] for box in second) == pytest.approx(1000.0, rel=0.02)
