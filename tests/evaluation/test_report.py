"""The page and the terminal table: right verdict, nothing from outside, nothing unescaped."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from higr.config import EvaluationConfig
from higr.evaluation.bootstrap import Interval
from higr.evaluation.evaluate import evaluate
from higr.evaluation.plot import curve_panel
from higr.evaluation.report import html, write_report
from higr.evaluation.results import Evaluation
from higr.evaluation.terminal import table
from higr.evaluation.verdict import is_accuracy, label, model_label, p_text, verdict
from tests.evaluation.worlds import IDS, Ordered, catalog, items, slates, training

CURVES = {
    "Pretraining": [
        {"steps": 0, "train_loss": None, "validation_loss": 5.0},
        {"steps": 10, "train_loss": 4.0, "validation_loss": 3.0},
        {"steps": 20, "train_loss": 2.0, "validation_loss": 3.5},
    ],
    "Alignment": [{"steps": 0, "train_loss": None, "validation_loss": None}],
}


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    test_slates, contexts = slates(60, users=12)
    models = {"popularity": Ordered(IDS[18::-1]), "higr": Ordered(["i01", "i03", *IDS[4:19]])}
    config = EvaluationConfig(k=3, bootstrap=100, permutations=200, min_slice=50)
    return evaluate(models, test_slates, contexts, items(), config, 0, training=training(), catalog=catalog())


def with_figures(
    evaluation: Evaluation,
    ours: tuple[float, float],
    theirs: tuple[float, float],
    p_adjusted: float,
    spread: float = 0.05,
) -> Evaluation:
    """Intervals of both models; that of the difference reaches `spread` to either side of its mean."""
    values = {model: dict(row) for model, row in evaluation.values.items()}
    against = {"popularity": dict(evaluation.against["popularity"])}
    for metric in ("ndcg@3", "effective_view_hit@3"):
        for model, (low, high) in (("higr", ours), ("popularity", theirs)):
            values[model][metric] = Interval(mean=(low + high) / 2, low=low, high=high, slates=60)
        mean = values["higr"][metric].mean - values["popularity"][metric].mean
        against["popularity"][metric] = against["popularity"][metric].model_copy(
            update={"mean": mean, "p_adjusted": p_adjusted, "low": mean - spread, "high": mean + spread}
        )
    return evaluation.model_copy(update={"values": values, "against": against})


@pytest.mark.parametrize(
    ("ours", "theirs", "p_adjusted", "outcome", "words"),
    [
        ((0.3, 0.4), (0.1, 0.2), 0.001, "better", "HiGR beats Popularity in Effective-view Hit@3 and NDCG@3"),
        (
            (0.3, 0.4),
            (0.1, 0.2),
            0.001,
            "better",
            "NDCG@3 by the paired test; the interval of the difference leaves out 0, and those of the models "
            "are apart.",
        ),
        ((0.1, 0.2), (0.3, 0.4), 0.001, "worse", "HiGR loses to Popularity"),
        (
            (0.2, 0.4),
            (0.1, 0.3),
            0.05,
            "better",
            "by the paired test; the interval of the difference leaves out 0.",
        ),
        (
            (0.2, 0.4),
            (0.1, 0.3),
            0.06,
            "unclear",
            "ahead of Popularity in Effective-view Hit@3 and NDCG@3, but",
        ),
        ((0.1, 0.3), (0.2, 0.4), 0.06, "unclear", "behind Popularity"),
        ((0.1, 0.3), (0.1, 0.3), 1.0, "unclear", "neither is ahead"),
    ],
)
def test_verdict(
    evaluation: Evaluation, ours: tuple, theirs: tuple, p_adjusted: float, outcome: str, words: str
) -> None:
    found = verdict(with_figures(evaluation, ours, theirs, p_adjusted), "popularity")
    assert found.outcome == outcome
    assert words in found.headline
    assert f"adjusted p = {p_adjusted:.3f}" in found.evidence[0]


@pytest.mark.parametrize(("ours", "theirs"), [((0.2, 0.4), (0.1, 0.3)), ((0.1, 0.3), (0.2, 0.4))])
def test_the_test_decides_and_an_interval_that_holds_zero_is_told(
    evaluation: Evaluation, ours: tuple, theirs: tuple
) -> None:
    """The test may say so where the interval, which is not made from it, holds 0."""
    found = verdict(with_figures(evaluation, ours, theirs, 0.04, spread=0.2), "popularity")
    assert found.outcome in ("better", "worse")
    both = "Effective-view Hit@3 and NDCG@3"
    assert found.headline.endswith(f"by the paired test; the interval of the difference holds 0 in {both}.")
    one = with_figures(evaluation, ours, theirs, 0.04)
    against = dict(one.against["popularity"])
    against["ndcg@3"] = against["ndcg@3"].model_copy(update={"low": -0.3, "high": 0.3})
    found = verdict(one.model_copy(update={"against": {"popularity": against}}), "popularity")
    assert found.headline.endswith("by the paired test; the interval of the difference holds 0 in NDCG@3.")


class Balance(HTMLParser):
    """Every element that is opened is closed, in order."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        assert self.open

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_self_contained_and_small(evaluation: Evaluation, tmp_path: Path) -> None:
    write_report(evaluation, tmp_path / "evaluation.html", CURVES)
    page = (tmp_path / "evaluation.html").read_text(encoding="utf-8")
    parser = Balance()
    parser.feed(page)
    assert not parser.open
    assert not re.search(r"https?://|src=|@import|url\(|<script|\bnan\b", page)
    assert len(page) < 300_000
    assert page.index("HiGR beats Popularity") < page.index("<table>")
    assert page.count("<svg") == len(evaluation.metrics) + 1  # no loss of the alignment is known


def text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_every_section_has_its_figures(evaluation: Evaluation) -> None:
    page = text(html(evaluation, CURVES))
    gap = evaluation.against["popularity"]["ndcg@3"]
    assert f"{gap.mean:+.4f}" in page
    assert p_text(gap.p_adjusted) in page
    assert f"{evaluation.values['higr']['prefix_entropy_1@3'].mean:.4f}" in page
    assert f"{evaluation.values['higr']['popularity_lift@3'].mean:+.0%}" in page
    assert f"{evaluation.gini['higr']:.3f}" in page
    assert re.search(r"Short history 60 slates of 12 users \d\.\d{4}", page)
    assert "New users 5 slates of 1 users fewer than 50 slates: too few for figures" in page
    assert "Tail items 60 slates of 12 users" in page
    assert "step 0 step 20" in page


@pytest.mark.parametrize(("p_adjusted", "colour"), [(0.05, "up"), (0.06, "")])
def test_a_difference_is_coloured_by_its_adjusted_p_value(
    evaluation: Evaluation, p_adjusted: float, colour: str
) -> None:
    page = html(with_figures(evaluation, (0.2, 0.4), (0.1, 0.3), p_adjusted))
    assert f'<td><i class="{colour}">+0.1000' in page


def test_a_long_curve_is_drawn_as_means_of_stretches() -> None:
    records = [{"steps": i, "train_loss": float(i % 2), "validation_loss": None} for i in range(10_000)]
    panel = curve_panel("Long", records)
    (points,) = re.findall(r'points="([^"]*)"', panel)
    assert len(points.split()) == 200
    assert "step 24" in panel  # the middle of the first of 200 stretches
    assert "<circle" not in panel
    assert curve_panel("None", [{"steps": 0}]) == ""


def test_a_curve_of_one_point_is_a_dot() -> None:
    panel = curve_panel("One", [{"steps": 4, "train_loss": 1.0, "validation_loss": None}])
    assert panel.count("<circle") == 1


def test_the_dot_is_on_weights_that_were_kept() -> None:
    """A breach of the guard gives weights up although their loss is the lowest."""
    losses = {0: 3.0, 5: 2.0, 10: 1.0}
    records = [{"steps": n, "train_loss": None, "validation_loss": loss} for n, loss in losses.items()]
    dots = [
        re.findall(
            r'<circle cx="([\d.]+)"', curve_panel("One", [*records[:2], records[2] | {"breach": text}])
        )
        for text in (None, "loss rose")
    ]
    (passed,), (breached,) = dots
    assert float(breached) < float(passed)


def test_titles_are_escaped(evaluation: Evaluation) -> None:
    page = html(evaluation)
    assert "&lt;b&gt;Title&lt;/b&gt; of i03" in page
    assert "<b>Title" not in page


def test_one_model_without_catalogue_training_and_curves() -> None:
    test_slates, contexts = slates(20, users=4)
    alone = evaluate(
        {"only": Ordered(IDS[:19])}, test_slates, contexts, items(), EvaluationConfig(bootstrap=100), 0
    )
    page = html(alone)
    assert 'class="verdict' not in page
    assert "Paired differences" not in page
    assert "Learning curves" not in page
    assert "Entropy, first" not in page  # no catalogue was given


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("ndcg@5", "NDCG@5"),
        ("ndcg_binary@10", "NDCG@10, binary"),
        ("prefix_entropy_2@5", "Entropy@5, two codes"),
        ("made_up@5", "made_up@5"),
        ("plain", "plain"),
    ],
)
def test_labels(metric: str, expected: str) -> None:
    assert label(metric) == expected


def test_model_labels() -> None:
    assert [model_label(name) for name in ("higr", "one_rec")] == ["HiGR", "One rec"]


def test_terminal_table_holds_every_figure_in_80_columns(evaluation: Evaluation) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table(evaluation))
    text = console.export_text()
    for model in evaluation.models:
        assert model_label(model) in text
        for metric, cell in evaluation.values[model].items():
            if not is_accuracy(metric) and metric != "intra_list_diversity@3":
                continue
            assert f"{cell.mean:.4f}".removeprefix("0") in text
            interval = (f"{bound:.4f}".removeprefix("0") for bound in (cell.low, cell.high))
            assert "–".join(interval) in text
