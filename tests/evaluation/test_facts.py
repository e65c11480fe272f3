"""What the training period says, and codes mapped for every item alike."""

import numpy as np

from higr.catalog import Catalog
from higr.evaluation.facts import Background, ItemFacts
from tests.baseline.worlds import events_table, items_table

EVENTS = [
    ("a", "i0", 0, 2), ("b", "i0", 0, 3), ("b", "i1", 1, 2), ("c", "i2", 1, 2),
    ("c", "i3", 2, 1), ("c", "i4", 3, 0),
]  # fmt: skip


def test_background_counts_views_of_everything_exposed() -> None:
    got = Background.of(events_table(EVENTS), head_share=0.4)
    assert got.views == {"i0": 2, "i1": 1, "i2": 1, "i3": 0, "i4": 0}
    assert got.head == {"i0", "i1"}  # i1 and i2 tie: by id
    assert [got.kind(item) for item in ("i0", "i2", "i4", "i9")] == ["head", "tail", "tail", "cold"]
    assert got.users == {"a", "b", "c"}


def test_facts_leave_disabled_items_out_and_map_codes_by_item() -> None:
    items = items_table({"i0": "x", "i1": "y", "i2": "x", "i3": "y"}, disabled=["i1"])
    catalog = Catalog.build(["i3", "i1", "i0"], np.array([[1, 0, 1], [0, 0, 0], [1, 2, 0]]), 4)
    facts = ItemFacts.of(items, catalog, Background.of(events_table(EVENTS), 0.4))
    assert facts.position == {"i0": 0, "i2": 1, "i3": 2}
    assert facts.category.tolist() == [0, 0, 1]
    assert facts.views is not None
    assert facts.views.tolist() == [2, 1, 0]
    first, second = facts.prefixes[1], facts.prefixes[2]
    assert first[0] == first[2] != -1  # both begin with 1
    assert second[0] != second[2]
    assert first[1] == second[1] == -1  # no codes


def test_without_catalogue_and_background_there_is_less() -> None:
    facts = ItemFacts.of(items_table({"i0": "x"}), None, None)
    assert (facts.prefixes, facts.views) == ({}, None)
