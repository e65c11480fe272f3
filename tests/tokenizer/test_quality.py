"""Quality figures by hand and against the definitions written out with loops."""

import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.tokenizer.quality import Quality, measure


def simple() -> Quality:
    """Prefix (0, 0) holds a, a, b of which two share an ID; prefix (1, 0) holds b."""
    codes = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]])
    return measure(codes, ["a", "a", "b", "b"], 2, np.array([0.1, 0.3, 0.0, 0.0]))


def test_by_hand() -> None:
    quality = simple()
    assert quality.collision == pytest.approx(1 - 3 / 4)
    assert quality.concentration == pytest.approx((2 + 1) / 4)
    assert quality.consistency == pytest.approx(1 / 3)
    assert [prefix.groups for prefix in quality.prefixes] == [2, 2, 3]
    assert [prefix.singletons for prefix in quality.prefixes] == pytest.approx([1 / 2, 1 / 2, 2 / 3])
    assert [prefix.consistency for prefix in quality.prefixes] == pytest.approx([1 / 3, 1 / 3, 1.0])
    assert [level.use for level in quality.levels] == [1.0, 0.5, 1.0]
    assert quality.levels[0].perplexity == pytest.approx(np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))))
    assert quality.levels[1].perplexity == pytest.approx(1.0)
    assert quality.codebook_use == 0.5
    assert quality.reconstruction_error == pytest.approx(0.1)
    assert quality.error_percentiles == pytest.approx({50: 0.05, 90: 0.24, 99: 0.294})
    assert quality.to_json()["consistency"] == quality.consistency


def test_groups_of_one_have_no_consistency() -> None:
    quality = measure(np.arange(3)[:, None].repeat(3, 1), ["a", "a", "b"], 4, np.zeros(3))
    assert (quality.concentration, quality.consistency) == (1.0, 0.0)


@st.composite
def coded(draw: st.DrawFn) -> tuple[np.ndarray, list[str], int]:
    size, depth, count = draw(st.integers(2, 5)), draw(st.integers(2, 4)), draw(st.integers(1, 40))
    code = st.lists(st.integers(0, size - 1), min_size=depth, max_size=depth)
    codes = draw(st.lists(code, min_size=count, max_size=count))
    return np.array(codes), draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count)), size


@settings(max_examples=60, deadline=None)
@given(coded())
def test_against_brute_force(case: tuple[np.ndarray, list[str], int]) -> None:
    codes, categories, size = case
    count, depth = codes.shape
    quality = measure(codes, categories, size, np.zeros(count))
    assert quality.collision == pytest.approx(1 - len({tuple(code) for code in codes.tolist()}) / count)
    for level in range(1, depth + 1):
        groups: dict[tuple[int, ...], list[str]] = {}
        for code, category in zip(codes.tolist(), categories, strict=True):
            groups.setdefault(tuple(code[:level]), []).append(category)
        largest = sum(max(Counter(group).values()) for group in groups.values())
        pairs = [left == right for group in groups.values() for left, right in combinations(group, 2)]
        found = quality.prefixes[level - 1]
        assert (found.depth, found.groups) == (level, len(groups))
        alone = sum(len(group) == 1 for group in groups.values())
        assert found.singletons == pytest.approx(alone / len(groups))
        assert found.concentration == pytest.approx(largest / count)
        assert found.consistency == pytest.approx(sum(pairs) / len(pairs) if pairs else 0.0)
    for level in range(depth):
        use = Counter(codes[:, level].tolist())
        entropy = -sum(n / count * np.log(n / count) for n in use.values())
        assert quality.levels[level].use == pytest.approx(len(use) / size)
        assert quality.levels[level].perplexity == pytest.approx(np.exp(entropy))


def test_what_was_not_given_is_left_out() -> None:
    quality = simple()
    assert (quality.fidelity, quality.stability, quality.popularity) == (None, None, None)
    figures = quality.to_figures()
    assert figures["singleton_prefixes_depth_2"] == pytest.approx(1 / 2)
    assert figures["perplexity_level_2"] == pytest.approx(1.0)
    assert figures["consistency_depth_3"] == 1.0  # two items share a semantic ID
    assert not [name for name in figures if name.startswith(("neighbours", "stability", "popularity"))]


def test_all_figures_are_flat_numbers_with_names_that_say_their_depth() -> None:
    codes = np.array([[0, 0], [0, 1], [1, 0]])
    quality = measure(
        codes,
        ["a", "b", "a"],
        2,
        np.full(3, 0.25),
        content=np.array([[1, 0], [1, 0], [0, 1]], np.float32),
        second=codes[:, ::-1],
        engagement=np.array([3, 0, 1]),
        yardstick_in_content=True,
    )
    figures = quality.to_figures()
    assert figures["yardstick_in_content"] == "yes"
    assert "concentration_depth_2" not in figures  # no semantic ID is shared
    assert figures["identical_content_items"] == 2
    assert figures["collision_floor"] == pytest.approx(1 / 3)
    assert figures["explained_variance"] == pytest.approx(1 - 0.25 / (4 / 9))  # mean (2/3, 1/3)
    assert figures["popularity_busiest_share"] == pytest.approx(3 / 4)
    assert {"neighbours_depth_2", "stability_depth_1", "stability_rand_depth_2"} <= set(figures)
    assert all(isinstance(value, float | int | str) for value in figures.values())
    assert json.loads(json.dumps(quality.to_json()))["yardstick_in_content"] is True
