"""One test set for all models: what is drawn, generated and measured."""

import numpy as np
import pytest

from higr.config import EvaluationConfig
from higr.data.schemas import SLATES
from higr.errors import InputError
from higr.evaluation.held_out import HeldOut
from tests.baseline.worlds import context, slate_row, table
from tests.evaluation.worlds import IDS, Ordered, catalog, items, slates, training

CONFIG = EvaluationConfig(k=2, exclude_seen=False)


def test_two_cut_offs_from_one_answer() -> None:
    test = HeldOut.draw(*slates(20, users=4), items(), CONFIG, 0)
    model = Ordered(["i02", "i07", "i03", "i04"])
    longer = test.generate("m", model, 4)
    at_1, at_2, at_4 = (test.measure(longer, k) for k in (1, 2, 4))
    assert at_2.values["recall@2"].mean() == 0
    assert at_4.values["recall@4"].mean() == 1
    assert at_1.totals["coverage"] == pytest.approx(1 / 19)
    assert at_4.totals["coverage"] == pytest.approx(4 / 19)
    asked = test.measure(test.generate("m", model, 2), 2)
    assert asked.totals == at_2.totals
    for metric, values in asked.values.items():
        assert np.array_equal(values, at_2.values[metric], equal_nan=True)


def test_every_model_is_mapped_by_the_catalogue() -> None:
    test = HeldOut.draw(*slates(3, users=3), items(), CONFIG, 0, catalog=catalog())
    got = test.measure(test.generate("m", Ordered(["i00", "i04", "i01", "i05"]), 4), 4)
    # first codes 0 0 1 1: log 2 of log 4; with the second all four differ
    assert got.values["prefix_entropy_1@4"] == pytest.approx([0.5] * 3)
    assert got.values["prefix_entropy_2@4"] == pytest.approx([1.0] * 3)


def test_repetition_follows_time_not_the_order_of_rows() -> None:
    class Turning(Ordered):
        def recommend(self, contexts, slate_size, exclude=None):  # type: ignore[no-untyped-def]
            found = {"early": ["i00", "i01"], "late": ["i01", "i02"], "other": ["i01", "i02"]}
            return [Ordered(found[c.item_ids[0]]).recommend([c], slate_size)[0] for c in contexts]

    rows = [
        slate_row(0, "u", 9, ["i03"], [2], "test"),
        slate_row(1, "u", 1, ["i03"], [2], "test"),
        slate_row(2, "v", 5, ["i03"], [2], "test"),
    ]
    contexts = [context(u, [(when, 2)]) for u, when in (("u", "late"), ("u", "early"), ("v", "other"))]
    test = HeldOut.draw(table(SLATES, rows), contexts, items(), CONFIG, 0)
    assert test.previous.tolist() == [1, -1, -1]
    got = test.measure(test.generate("m", Turning(IDS), 2), 2)
    assert got.values["repetition@2"] == pytest.approx([0.5, np.nan, np.nan], nan_ok=True)


def test_what_is_not_given_is_not_measured() -> None:
    bare = HeldOut.draw(*slates(3, users=3), items(), CONFIG, 0)
    names = set(bare.measure(bare.generate("m", Ordered(IDS[:19]), 2), 2).values)
    full = HeldOut.draw(*slates(3, users=3), items(), CONFIG, 0, training=training(), catalog=catalog())
    more = set(full.measure(full.generate("m", Ordered(IDS[:19]), 2), 2).values)
    assert more - names == {
        "prefix_entropy_1@2", "prefix_entropy_2@2", "popularity_lift@2",
        "recall_head@2", "recall_tail@2", "recall_cold@2",
    }  # fmt: skip


def test_slates_that_are_too_short_are_left_out_and_none_left_is_an_error() -> None:
    rows = [slate_row(i, "u", i, IDS[: i + 1], [2] * (i + 1), "test") for i in range(4)]
    contexts = [context("u", [])] * 4
    test = HeldOut.draw(table(SLATES, rows), contexts, items(), EvaluationConfig(min_exposed=3), 0)
    assert test.slates["slate_id"].to_pylist() == ["s000002", "s000003"]
    with pytest.raises(InputError, match="none of 4 test slates has 9 exposures"):
        HeldOut.draw(table(SLATES, rows), contexts, items(), EvaluationConfig(min_exposed=9), 0)
