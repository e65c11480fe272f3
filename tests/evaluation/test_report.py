"""The page and the terminal table: right verdict, nothing from outside, nothing unescaped."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from higr.config import EvaluationConfig
from higr.errors import InputError
from higr.evaluation.bootstrap import Interval
from higr.evaluation.evaluate import evaluate
from higr.evaluation.report import html, write_report
from higr.evaluation.results import Evaluation
from higr.evaluation.terminal import table
from higr.evaluation.verdict import label, model_label, verdict
from tests.evaluation.worlds import IDS, Ordered, items, slates


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    test_slates, contexts = slates(60, users=12)
    models = {"popularity": Ordered(IDS[18::-1]), "higr": Ordered(["i01", "i03", *IDS[4:19]])}
    config = EvaluationConfig(k=3, bootstrap=100)
    return evaluate(models, test_slates, contexts, items(), config, 0)


def with_ndcg(evaluation: Evaluation, ours: tuple[float, float], theirs: tuple[float, float]) -> Evaluation:
    values = {model: dict(row) for model, row in evaluation.values.items()}
    for model, (low, high) in (("higr", ours), ("popularity", theirs)):
        for metric in ("ndcg@3", "effective_view_hit@3"):
            values[model][metric] = Interval(mean=(low + high) / 2, low=low, high=high, slates=60)
    return evaluation.model_copy(update={"values": values})


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome", "words"),
    [
        ((0.3, 0.4), (0.1, 0.2), "better", "HiGR beats Popularity"),
        ((0.1, 0.2), (0.3, 0.4), "worse", "HiGR loses to Popularity"),
        ((0.2, 0.4), (0.1, 0.3), "unclear", "ahead of Popularity in Effective-view Hit@3 and NDCG@3, but"),
        ((0.1, 0.3), (0.2, 0.4), "unclear", "behind Popularity"),
        ((0.1, 0.3), (0.1, 0.3), "unclear", "behind Popularity"),
    ],
)
def test_verdict(evaluation: Evaluation, ours: tuple, theirs: tuple, outcome: str, words: str) -> None:
    found = verdict(with_ndcg(evaluation, ours, theirs), "higr", "popularity")
    assert found.outcome == outcome
    assert words in found.headline


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
    write_report(evaluation, tmp_path / "evaluation.html")
    page = (tmp_path / "evaluation.html").read_text(encoding="utf-8")
    parser = Balance()
    parser.feed(page)
    assert not parser.open
    assert not re.search(r"https?://|src=|@import|url\(|<script", page)
    assert len(page) < 300_000
    assert page.index("HiGR beats Popularity") < page.index("<table>")
    assert page.count("<svg") == len(evaluation.metrics)


def test_titles_are_escaped(evaluation: Evaluation) -> None:
    page = html(evaluation)
    assert "&lt;b&gt;Title&lt;/b&gt; of i03" in page
    assert "<b>Title" not in page


def test_one_model_and_unknown_subject(evaluation: Evaluation) -> None:
    test_slates, contexts = slates(20, users=4)
    alone = evaluate(
        {"only": Ordered(IDS[:19])}, test_slates, contexts, items(), EvaluationConfig(bootstrap=100), 0
    )
    assert 'class="verdict' not in html(alone)
    with pytest.raises(InputError, match="'tiger' was not evaluated"):
        html(evaluation, "tiger")


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("ndcg@5", "NDCG@5"),
        ("ndcg_binary@10", "NDCG@10, binary"),
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
        for cell in evaluation.values[model].values():
            assert f"{cell.mean:.4f}".removeprefix("0") in text
            interval = (f"{bound:.4f}".removeprefix("0") for bound in (cell.low, cell.high))
            assert "–".join(interval) in text
