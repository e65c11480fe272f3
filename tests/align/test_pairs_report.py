"""Run: pytest tests/align"""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from higr.align.mixture import NEGATIVES
from higr.align.mixture import REASONS as POSSIBLE
from higr.align.pairs import build_pairs
from higr.align.pairs_report import KINDS, REASONS, write_report
from higr.align.signals import Signals
from higr.config import PreferenceConfig, SignalConfig, TrainingConfig
from tests.align.worlds import CATALOG, CODEBOOKS, items_table, only, slate_table

VALUES = np.arange(len(CATALOG)) / len(CATALOG)
DAYS = np.where(np.arange(len(CATALOG)) == CATALOG.position["i1"], -3.25, -np.inf)
LEVELS = {"value": VALUES, "freshness": DAYS}
ITEMS = items_table(
    [
        {"item_id": item, "text": f"Title <{item}>" if item != "i9" else None, "category": "Cats & dogs"}
        for item in sorted(CATALOG.item_ids)
    ]
)
SLATES = slate_table([(["i1", "i20", "i9", "i33"], [2, 3, 1, 0], [1.0, 2.5, 0.0, 0.0])])


def written(tmp_path: Path, config: PreferenceConfig, slates: pa.Table = SLATES) -> str:
    """The page without its style."""
    training = TrainingConfig(target_size=5)
    given = Signals(np.zeros(slates.num_rows), LEVELS, 1.0) if config.signals else None
    own = torch.tensor([CATALOG.position["i1"], CATALOG.position["i50"]]).repeat(slates.num_rows, 1)
    pairs = build_pairs(slates, CATALOG, CODEBOOKS, config, training, 0, signals=given, own=own)
    path = tmp_path / "pairs.html"
    write_report(path, pairs, slates, ITEMS, CATALOG, CODEBOOKS, config, given)
    return path.read_text(encoding="utf-8").split("</style>")[1]


def lists(page: str) -> list[list[str]]:
    """Every list of the page: a line an item, as one reads it; `!` before what is marked."""
    found = []
    for body in re.findall(r"<ol>(.*?)</ol>", page):
        lines = re.findall(r"<li( class=other)?>(.*?)</li>", body)
        found.append(["!" * bool(mark) + re.sub(r"<.*?>", "|", line) for mark, line in lines])
    return found


def title(item: str) -> str:
    return f"Title &lt;{item}&gt;|Cats &amp; dogs"


CHOSEN = [f"{title('i20')} &middot; |strength 2.50||", f"{title('i1')} &middot; |strength 1.00||"]


def test_a_shuffled_slate_says_where_items_come_from(tmp_path: Path) -> None:
    chosen, rejected = lists(written(tmp_path, only("ranking")))
    assert chosen == CHOSEN
    assert rejected == [
        f"!{title('i1')} &middot; |from place 2||",
        f"!{title('i20')} &middot; |from place 1||",
    ]


def test_items_in_place_of_others_say_how_they_were_received(tmp_path: Path) -> None:
    chosen, rejected = lists(written(tmp_path, only("interest")))
    assert chosen == CHOSEN
    assert rejected == [
        f"!{title('i33')} &middot; |disliked||",
        "!Item i9|Cats &amp; dogs &middot; |passed over||",
    ]


def test_similar_items_show_their_similarity(tmp_path: Path) -> None:
    chosen, rejected = lists(written(tmp_path, only("diversity")))
    vectors = CODEBOOKS[torch.arange(3), CATALOG.code_tensor].sum(1)
    cosine = torch.nn.functional.cosine_similarity(vectors, vectors[CATALOG.position["i20"]][None])
    cosine[[CATALOG.position["i20"], CATALOG.position["i1"]]] = -1
    best = CATALOG.item_ids[int(cosine.argmax())]
    assert chosen == CHOSEN
    assert rejected == [
        f"{title('i20')}|",
        f"!{title(best)} &middot; |cosine {cosine.max():.2f} to the first||",
    ]


def test_own_slates_show_what_was_engaged_with(tmp_path: Path) -> None:
    _, rejected = lists(written(tmp_path, only("on_policy")))
    assert rejected == [
        f"!{title('i1')} &middot; |strength 1.00||",
        f"!{title('i50')} &middot; |was not exposed||",
    ]


def test_signals_show_their_values_and_add_to_the_strength(tmp_path: Path) -> None:
    chosen, rejected = lists(written(tmp_path, only("value")))
    place = CATALOG.position["i20"]
    assert chosen[0] == f"{title('i20')} &middot; |value {VALUES[place]:.2f}||"
    assert re.search(r"value 0\.\d\d, cosine -?\d\.\d\d", rejected[0])
    config = only("ranking", signals=(SignalConfig(kind="value", strength=2.0),), logged=0.5)
    page = written(tmp_path, config)
    assert f"strength {0.5 * 2.5 + 2 * VALUES[place]:.2f}" in "".join(lists(page)[0])
    assert "0.5 &times; logged feedback strength + 2 &times; value" in page


def test_freshness_is_shown_as_an_age(tmp_path: Path) -> None:
    chosen, rejected = lists(written(tmp_path, only("freshness")))
    assert [line.split("|")[2] for line in chosen] == ["of unknown age", "3.2 days old"]
    assert rejected[0] == f"{title('i20')}|"  # nothing is older than what has no date: it stays
    assert re.search(r"!.*\|of unknown age, cosine -?\d\.\d\d", rejected[1])


def test_counts_and_reasons_are_in_words(tmp_path: Path) -> None:
    rows = [(["i1"], [2], [1.0])] * 3 + [(["i1"], [1], [0.0])] + [(["i1", "i2"], [2, 2], [2.0, 1.0])] * 6
    page = written(tmp_path, only("ranking"), slate_table(rows))
    assert "60.0% of the slates give a pair: 6" in page
    assert re.search(r"a single item was engaged with[^<]*</th><td>3</td><td>30\.0%", page)
    assert re.search(r"no item of the catalogue was engaged with</th><td>1</td><td>10\.0%", page)
    assert len(lists(page)) == 2 * 4


def test_a_page_of_no_slates_stands(tmp_path: Path) -> None:
    page = written(tmp_path, PreferenceConfig(), slate_table([]))
    assert "0% of the slates give a pair: 0" in page
    assert lists(page) == []


@pytest.mark.parametrize("kind", NEGATIVES)
def test_every_kind_has_its_words(kind: str) -> None:
    assert KINDS[kind].endswith(".")


@pytest.mark.parametrize("reason", [*POSSIBLE, "same_codes"])
def test_every_reason_has_its_words(reason: str) -> None:
    assert REASONS[reason]
    assert "_and_" not in reason
