"""The page of semantic IDs: verdict first, nothing from outside, nothing unescaped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from higr.config import QualityGateConfig, TokenizerConfig
from higr.tokenizer.collisions import CollisionReport
from higr.tokenizer.encoding import Encoding
from higr.tokenizer.quality import Quality, measure_quality
from higr.tokenizer.report import write_report
from higr.tokenizer.worst import worst_groups

CONFIG = TokenizerConfig(codebook_size=8)
QUIET = CollisionReport("reassign", 120, 0, 1)
Write = Callable[..., tuple[str, Quality]]


@pytest.fixture
def write(tmp_path: Path, items_table: Callable[..., pa.Table]) -> Write:
    """The page of 120 items and the quality it tells of."""
    rng = np.random.default_rng(0)
    ids = [f"v{row:03d}" for row in range(120)]
    content = rng.normal(size=(120, 6)).astype(np.float32)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    codes = rng.integers(8, size=(120, 3)).astype(np.int32)
    encoding = Encoding(tuple(ids), codes, content, rng.uniform(size=120).astype(np.float32))

    def build(
        config: TokenizerConfig = CONFIG, collisions: CollisionReport = QUIET, **columns: list[str]
    ) -> tuple[str, Quality]:
        defaults = {"category": ["cooking", "sport", "生活"] * 40, "text": ["Slow <b>broth</b>"] * 120}
        items = items_table(item_id=ids, **(defaults | columns))
        engagement = np.arange(120)
        quality = measure_quality(
            encoding, items, config, content=content, second=codes[::-1], engagement=engagement
        )
        path = tmp_path / "report.html"
        write_report(path, quality, collisions, encoding, items, config, engagement)
        return path.read_text(encoding="utf-8"), quality

    return build


def test_the_page_needs_nothing_else(write: Write) -> None:
    page, _ = write()
    assert len(page.encode()) < 200_000
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    for outside in ("src=", "href=", "@import", "url("):
        assert outside not in page
    assert "生活" in page


def gated(**thresholds: float) -> TokenizerConfig:
    lenient = {
        "max_collision": 1.0,
        "min_concentration": 0.0,
        "min_consistency": 0.0,
        "min_codebook_use": 0.0,
    }
    return TokenizerConfig(codebook_size=8, gate=QualityGateConfig(**(lenient | thresholds)))


def test_the_verdict_comes_first_then_the_tree(write: Write) -> None:
    page, _ = write(gated(min_consistency=1.0))
    order = (
        '<div class="verdict bad"',
        'id="tree"',
        "Prefixes by depth",
        "Use of codewords",
        "Worst prefixes",
    )
    assert 'id="tree"><p class="soft">Above' in page  # the picture that stays without scripts
    places = [page.index(part) for part in order]
    assert places == sorted(places)
    assert "Not fit for planning" in page
    good, _ = write(gated())
    assert '<div class="verdict good"' in good
    assert "Fit for planning" in good


def test_all_that_was_measured_is_told(write: Write) -> None:
    page, quality = write()
    assert quality.fidelity
    assert quality.stability
    assert quality.popularity
    for value in (
        f"<td>{quality.fidelity.neighbours[1]:.1%}</td>",
        f"<td>{quality.stability.prefixes[0]:.1%}</td><td>{quality.stability.rand[0]:.3f}</td>",
        f"<dd>{quality.popularity.gini:.3f}</dd>",
        f"<dd>{quality.fidelity.explained_variance:.1%}</dd>",
        f"<td>{quality.prefixes[1].singletons:.1%}</td>",
        f"<dd>{quality.error_percentiles[99]:.4f}</dd>",
    ):
        assert value in page, value


@pytest.mark.parametrize(("weight", "told"), [(0.5, True), (0.0, False)])
def test_a_yardstick_within_the_content_is_told(write: Write, weight: float, told: bool) -> None:
    embedding = CONFIG.embedding.model_copy(update={"category_weight": weight})
    page, _ = write(CONFIG.model_copy(update={"embedding": embedding}))
    assert ("flatters concentration and consistency" in page) == told


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (QUIET, "nothing to reassign"),
        (
            replace(QUIET, colliding=7, largest=3, moved=4, left_prefix=1, error_before=0.1, error_after=0.2),
            "7 items shared their semantic ID with another, 3 at most. The best-fitting of each kept it, 4",
        ),
        (CollisionReport("extend", 120, 7, 3, largest_extra=2), "its largest value is 2"),
        (CollisionReport("share", 120, 7, 3, shared=7, largest_share=3), "7 keep a shared one, 3 at most"),
    ],
)
def test_the_collision_policy_is_told(write: Write, report: CollisionReport, told: str) -> None:
    assert told in write(collisions=report)[0]


def test_what_items_say_is_escaped(write: Write) -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    page, _ = write(text=[hostile] * 120, category=["<b>one</b>", "<i>two</i>", hostile] * 40)
    for raw in ("<img", "<b>one", "<i>two"):
        assert raw not in page
    assert page.count("</script>") == 2  # the data and the program, both ours
    assert "&lt;b&gt;one&lt;/b&gt;" in page


def test_without_engagement_and_second_training_the_page_stands(
    tmp_path: Path, items_table: Callable[..., pa.Table]
) -> None:
    codes = np.array([[0, 1], [1, 0]], np.int32)
    encoding = Encoding(("a", "b"), codes, np.zeros((2, 2), np.float32), np.zeros(2, np.float32))
    items = items_table(item_id=["a", "b"])
    config = TokenizerConfig(codebook_size=2, depth=2, level_weights=(1.0,))
    quality = measure_quality(encoding, items, config)
    path = tmp_path / "report.html"
    write_report(path, quality, QUIET, encoding, items, config)
    page = path.read_text()
    assert "There is no engagement" in page
    assert "<th>stability</th>" not in page


def test_worst_groups_by_hand() -> None:
    """(0, 0) holds a, b, b: 2 pairs of strangers; (0, 1) a, b: 1; (1, 0) a, a: none."""
    codes = np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 1], [1, 0, 1]])
    found = worst_groups(codes, ["a", "a", "a", "b", "b", "b", "a"])
    assert [rows.tolist() for rows in found] == [[1, 3, 4], [0, 5]]
    assert [rows.tolist() for rows in worst_groups(codes, ["a"] * 7)] == []
