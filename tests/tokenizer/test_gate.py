"""The gate: what fails is named, and the advice does not contradict itself."""

from dataclasses import replace

import numpy as np
import pytest

from higr.config import QualityGateConfig, TokenizerConfig
from higr.errors import InputError, QualityGateError
from higr.tokenizer.balance import Popularity
from higr.tokenizer.fidelity import Fidelity
from higr.tokenizer.gate import check, check_capacity, judge
from higr.tokenizer.quality import Quality, measure
from higr.tokenizer.stability import Stability


def simple() -> Quality:
    """Collision 1/4, concentration 3/4, consistency 1/3, half of level 2 in use."""
    codes = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]])
    return measure(codes, ["a", "a", "b", "b"], 2, np.array([0.1, 0.3, 0.0, 0.0]))


def full() -> Quality:
    return replace(
        simple(),
        fidelity=Fidelity(0, 0.0, 0.9, (0.6, 0.5, 0.1), 4),
        stability=Stability((0.7, 0.6, 0.5), (0.7, 0.5, 0.4), (0.6, 0.5, 0.4)),
        popularity=Popularity(0.8, 0.5, 1.5),
    )


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
        ("min_stability", 0.8, "stability 0.7000 (at least 0.8)"),
        ("min_neighbours", 0.65, "neighbours 0.6000 (at least 0.65)"),
        ("max_popularity_share", 0.5, "popularity_share 0.8000 (at most 0.5)"),
    ],
)
def test_gate_names_the_failed_metric(field: str, threshold: float, expected: str) -> None:
    config = QualityGateConfig(**(LENIENT | {field: threshold}))
    with pytest.raises(QualityGateError) as error:
        check(full(), config)
    message = str(error.value)
    assert expected in message
    assert "tokenizer." in message
    assert "\n" not in message
    assert sum(not v.passed for v in judge(full(), config)) == 1


def test_thresholds_are_inclusive() -> None:
    check(simple(), QualityGateConfig(**(LENIENT | {"max_collision": 0.25, "min_codebook_use": 0.5})))


@pytest.mark.parametrize(
    ("field", "threshold", "expected"),
    [
        ("min_stability", 0.5, r"stability not measured \(at least 0.5\); set tokenizer.stability: true"),
        ("min_neighbours", 0.5, r"neighbours not measured"),
        ("max_popularity_share", 0.5, r"popularity_share not measured \(at most 0.5\); data with engagement"),
    ],
)
def test_what_was_not_measured_does_not_pass(field: str, threshold: float, expected: str) -> None:
    with pytest.raises(QualityGateError, match=expected):
        check(simple(), QualityGateConfig(**(LENIENT | {field: threshold})))


def advice(quality: Quality, **thresholds: float) -> dict[str, str]:
    verdicts = judge(quality, QualityGateConfig(**(LENIENT | thresholds)))
    return {verdict.metric: verdict.advice for verdict in verdicts if not verdict.passed}


def test_collision_and_use_that_fail_together_are_not_told_opposites() -> None:
    alone = advice(simple(), max_collision=0.1)["collision"]
    assert alone.startswith("raise tokenizer.codebook_size")
    assert advice(simple(), min_codebook_use=0.9)["codebook_use"].startswith("lower tokenizer.codebook_size")
    both = advice(simple(), max_collision=0.1, min_codebook_use=0.9)
    assert set(both) == {"collision", "codebook_use"}
    for said in both.values():
        assert "balanced_kmeans" in said
        assert "codebook_size" not in said


@pytest.mark.parametrize(("floor", "near"), [(0.25, True), (0.22, True), (0.2, False), (0.0, False)])
def test_equal_content_is_not_answered_with_more_codes(floor: float, near: bool) -> None:
    """Collision is 1/4: 0.75 of N are distinct IDs, which is 0.95 of 0.789 distinct contents."""
    quality = replace(simple(), fidelity=Fidelity(2, floor, 0.9, (1.0, 1.0, 1.0), 4))
    said = advice(quality, max_collision=0.1, min_codebook_use=0.9)["collision"]
    assert ("2 items have the same content" in said) == near
    if near:
        assert f"below {floor:.4f}" in said
        assert "codebook_size" not in said


def test_a_yardstick_within_the_content_is_told() -> None:
    quality = replace(simple(), yardstick_in_content=True)
    notes = {v.metric: v.note for v in judge(quality, QualityGateConfig(**LENIENT))}
    assert "flatters concentration and consistency" in notes["consistency"]
    assert notes["collision"] == ""
    with pytest.raises(QualityGateError, match="flatters concentration"):
        check(quality, QualityGateConfig(**(LENIENT | {"min_consistency": 0.9})))


@pytest.mark.parametrize(
    ("policy", "most", "expected"),
    [
        (
            "reassign",
            64,
            r"65 items do not fit into 64 semantic IDs.*raise either, or set .* extend or share",
        ),
        ("extend", 256, r"257 items do not fit into 256 semantic IDs.*raise either, or set .* share"),
    ],
)
def test_capacity(policy: str, most: int, expected: str) -> None:
    config = TokenizerConfig(codebook_size=4, depth=3, collisions=policy)  # type: ignore[arg-type]
    check_capacity(most, config)
    with pytest.raises(InputError, match=expected):
        check_capacity(most + 1, config)


def test_shared_ids_have_no_capacity() -> None:
    check_capacity(10**9, TokenizerConfig(codebook_size=4, depth=3, collisions="share"))


def test_of_one_category_the_verdict_says_that_it_says_nothing() -> None:
    codes = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1], [1, 1, 1]])
    quality = measure(codes, ["a"] * 4, 2, np.zeros(4))
    assert (quality.concentration, quality.categories) == (1.0, 1)
    notes = {verdict.metric: verdict.note for verdict in judge(quality, QualityGateConfig(**LENIENT))}
    assert "one category" in notes["concentration"]
    assert "one category" in notes["consistency"]
    assert not notes["collision"]
