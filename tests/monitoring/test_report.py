"""The page on call reads: verdict first, in words, safe against what logs hold, whole without a network."""

import re
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest

from monitoring.report import ADVICE, HEADLINES, name, page
from monitoring.result import CellShift, DriftResult

VOID = {"meta", "br", "rect", "line"}
IMPLIED_END = {"td", "th", "html"}


class Balance(HTMLParser):
    """Collects tags that are closed out of order, and every address in the document."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for key, value in attrs if key in {"href", "src"}]
        if tag not in VOID | IMPLIED_END:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID | IMPLIED_END and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)


@pytest.fixture(
    params=[
        ("ok", {"seed": 2}),
        ("page", {"seed": 6, "taste": (0.1, 0.2, 0.3, 0.4)}),
        ("watch", {"seed": 7, "watched": 0.36}),
        ("no-data", {"seed": 8, "slates": 30}),
    ],
    ids=lambda param: param[0],
)
def result(request: pytest.FixtureRequest, judge: Callable[..., Any], traffic: Any) -> DriftResult:
    found: DriftResult = judge(traffic(**request.param[1]))[0]
    if request.param[0] == "watch":  # the window that watches in one column pages in another
        columns = tuple(c for c in found.columns if c.verdict != "page")
        found = found.model_copy(update={"verdict": "watch", "columns": columns})
    assert found.verdict == request.param[0]
    return found


def test_verdict_comes_first_and_every_column_is_there(result: DriftResult) -> None:
    text = page(result, "evidently.html")
    assert text.index(HEADLINES[result.verdict]) < text.index(ADVICE[result.verdict]) < text.index("<table")
    for column in result.columns:
        assert escape(name(column.column)) in text
        assert f"<code>{column.column}</code>" in text
    assert "docs/runbooks/drift.md" in text
    assert result.bundle_version in text


def test_document_is_well_formed_and_needs_no_network(result: DriftResult) -> None:
    parser = Balance()
    text = page(result, "evidently.html")
    parser.feed(text)
    assert (parser.wrong, parser.open) == ([], [])
    assert parser.addresses == ["evidently.html"]
    assert "http" not in text
    assert "<script" not in text
    assert len(text) < 60_000


def test_without_data_there_is_no_link(result: DriftResult) -> None:
    assert "evidently.html" not in page(result, None)


def test_what_moved_is_said_in_words(judge: Callable[..., Any], traffic: Any) -> None:
    result = judge(traffic(seed=6, taste=(0.1, 0.2, 0.3, 0.4)))[0]
    said = re.search(r"<b>Served: category</b>: (.*?)</li>", page(result, None))
    assert said is not None
    assert re.fullmatch(
        r"<q>(cycling|cats)</q> (rose|fell) from \d+\.\d % to \d+\.\d % of rows "
        r"\(PSI \d\.\d\d, page at 0\.\d\d\)",
        said[1],
    )


def test_labels_and_notes_of_the_log_are_escaped(judge: Callable[..., Any], traffic: Any) -> None:
    result = judge(traffic(seed=6, taste=(0.1, 0.2, 0.3, 0.4)))[0]
    cell = CellShift(label="<script>alert(1)</script>", reference=0.1, current=0.9, psi=1.7)
    column = result.columns[0].model_copy(update={"moved": (cell,)})
    current = result.current.model_copy(update={"notes": ("<b>part</b>",), "skipped": {"<i>": 3}})
    text = page(result.model_copy(update={"columns": (column,), "current": current}), None)
    assert "<script" not in text
    assert "<b>part" not in text
    assert "<i>:" not in text
    assert "&lt;b&gt;part" in text
    assert "&lt;i&gt;: 3" in text


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("served_code_2", "Served: semantic ID, level 2"),
        ("engaged_code_1", "Engaged with: semantic ID, level 1"),
        ("slates_source", "Who made the slates"),
    ],
)
def test_names(column: str, words: str) -> None:
    assert name(column) == words
