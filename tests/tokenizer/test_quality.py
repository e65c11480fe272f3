"""Quality figures by hand and against the definitions written out with loops."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.config import QualityGateConfig, TokenizerConfig
from higr.errors import InputError, QualityGateError
from higr.tokenizer.gate import check, check_capacity, judge
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
    assert [prefix.groups for prefix in quality.prefixes] == [2, 2]
    assert [level.use for level in quality.levels] == [1.0, 0.5, 1.0]
    assert quality.levels[0].perplexity == pytest.approx(np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))))
    assert quality.levels[1].perplexity == pytest.approx(1.0)
    assert quality.codebook_use == 0.5
    assert quality.reconstruction_error == pytest.approx(0.1)
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
    for level in range(1, depth):
        groups: dict[tuple[int, ...], list[str]] = {}
        for code, category in zip(codes.tolist(), categories, strict=True):
            groups.setdefault(tuple(code[:level]), []).append(category)
        largest = sum(max(Counter(group).values()) for group in groups.values())
        pairs = [left == right for group in groups.values() for left, right in combinations(group, 2)]
        found = quality.prefixes[level - 1]
        assert (found.depth, found.groups) == (level, len(groups))
        assert found.concentration == pytest.approx(largest / count)
        assert found.consistency == pytest.approx(sum(pairs) / len(pairs) if pairs else 0.0)
    for level in range(depth):
        use = Counter(codes[:, level].tolist())
        entropy = -sum(n / count * np.log(n / count) for n in use.values())
        assert quality.levels[level].use == pytest.approx(len(use) / size)
        assert quality.levels[level].perplexity == pytest.approx(np.exp(entropy))


LENIENT = {"max_collision": 1.0, "min_concentration": 0.0, "min_consistency": 0.0, "min_codebook_use": 0.0}


def test_gate_passes_and_reports_every_metric() -> None:
    verdicts = check(simple(), QualityGateConfig(**LENIENT))
    assert [v.metric for v in verdicts] == ["collision", "concentration", "consistency", "codebook_use"]
    assert all(v.passed for v in verdicts)


@pytest.mark.parametrize(
    ("field", "threshold", "expected"),
    [
        ("max_collision", 0.2, "collision 0.2500 (at most 0.2)"),
        ("min_concentration", 0.8, "concentration 0.7500 (at least 0.8)"),
        ("min_consistency", 0.5, "consistency 0.3333 (at least 0.5)"),
        ("min_codebook_use", 0.6, "codebook_use 0.5000 (at least 0.6)"),
    ],
)
def test_gate_names_the_failed_metric(field: str, threshold: float, expected: str) -> None:
    config = QualityGateConfig(**(LENIENT | {field: threshold}))
    with pytest.raises(QualityGateError) as error:
        check(simple(), config)
    message = str(error.value)
    assert expected in message
    assert "tokenizer." in message
    assert "\n" not in message
    assert sum(not v.passed for v in judge(simple(), config)) == 1


def test_thresholds_are_inclusive() -> None:
    check(simple(), QualityGateConfig(**(LENIENT | {"max_collision": 0.25, "min_codebook_use": 0.5})))


def test_capacity() -> None:
    config = TokenizerConfig(codebook_size=4, depth=3)
    check_capacity(64, config)
    with pytest.raises(InputError, match=r"65 items do not fit into 64 semantic IDs.*raise either"):
        check_capacity(65, config)
