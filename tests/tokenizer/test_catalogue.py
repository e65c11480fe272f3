"""Run: pytest tests/tokenizer/test_catalogue.py

First and next catalogues: what stays keeps its semantic ID, whatever comes and goes around it.
"""

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.catalog import Catalog
from higr.config import TokenizerConfig
from higr.data.prepared import PreparedData
from higr.data.schemas import Feedback
from higr.errors import InputError
from higr.tokenizer.catalogue import build_catalog, engagement, next_catalog
from higr.tokenizer.encoding import Encoding
from higr.tokenizer.tokenizer import Tokenizer

BOOKS = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)


@dataclass(frozen=True)
class Frozen:
    """All that a catalogue asks of a tokenizer."""

    config: TokenizerConfig
    id: str = "frozen"
    codebooks: np.ndarray = field(default_factory=lambda: BOOKS)


def frozen(policy: str, size: int = 6, name: str = "frozen") -> Tokenizer:
    config = TokenizerConfig.model_validate(
        {"depth": 2, "level_weights": (1.0,), "codebook_size": size, "collisions": policy}
    )
    return cast(Any, Frozen(config, name))


def encoding(ids: list[str], seed: int, corner: int = 3) -> Encoding:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, corner, size=(len(ids), 2)).astype(np.int32)
    latents = rng.normal(size=(len(ids), 3)).astype(np.float32)
    return Encoding(tuple(ids), codes, latents, rng.random(len(ids), dtype=np.float32))


def ids_of(catalog: Catalog) -> dict[str, tuple[int, ...]]:
    return {item: tuple(code) for item, code in zip(catalog.item_ids, catalog.codes.tolist(), strict=True)}


@settings(max_examples=60, deadline=None)
@given(
    policy=st.sampled_from(["reassign", "extend", "share"]),
    steps=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=6),
    seed=st.integers(0, 10_000),
)
def test_no_update_changes_the_semantic_id_of_an_item_that_stays(
    policy: str, steps: list[tuple[int, int]], seed: int
) -> None:
    tokenizer, rng = frozen(policy), np.random.default_rng(seed)
    names = [f"i{n}" for n in range(6)]
    catalog, _ = build_catalog(encoding(names, seed), tokenizer, np.arange(6.0))
    assert catalog.parent == ""
    for step, (more, fewer) in enumerate(steps):
        before, there = ids_of(catalog), list(catalog.item_ids)
        gone = rng.choice(there, min(fewer, len(there) - 1), replace=False).tolist()
        more = min(more, 36 - len(there))  # K^D = 36, and at most K = 6 under one ID
        new = [f"s{step}-{n}" for n in range(more)]
        said = encoding(new, seed + step, corner=6) if new else None
        try:
            after, report = next_catalog(catalog, tokenizer, said, [*gone, "never-there"])
        except InputError as error:
            if policy == "extend" and "one extra code tells 6 apart" in str(error):
                continue
            raise
        kept = ids_of(after)
        assert set(kept) == set(before) - set(gone) | set(new)
        assert all(kept[item] == before[item] for item in kept if item in before)
        assert after.parent == catalog.version != after.version
        assert (report is None) == (said is None)
        if policy != "share":
            assert len(set(kept.values())) == len(kept)
        if catalog.priority is not None and after.priority is not None:
            ranks = dict(zip(after.item_ids, after.priority.tolist(), strict=True))
            was = dict(zip(catalog.item_ids, catalog.priority.tolist(), strict=True))
            assert all(ranks[item] == was[item] for item in ranks if item in was)
        catalog = after


def test_a_removed_items_id_is_free_again() -> None:
    tokenizer = frozen("reassign")
    one = Encoding(
        ("a",), np.array([[1, 1]], np.int32), np.zeros((1, 3), np.float32), np.zeros(1, np.float32)
    )
    other = Encoding(("b",), one.codes, one.latents, one.errors)
    catalog, _ = build_catalog(one, tokenizer)
    beside, report = next_catalog(catalog, tokenizer, other)
    assert ids_of(beside)["a"] == (1, 1) != ids_of(beside)["b"]
    assert report is not None
    assert (report.colliding, report.moved) == (1, 1)
    instead, report = next_catalog(catalog, tokenizer, other, ["a"])
    assert ids_of(instead) == {"b": (1, 1)}
    assert report is not None
    assert report.moved == 0


def test_new_items_of_a_shared_id_stand_where_the_average_item_does() -> None:
    tokenizer = frozen("share")
    catalog, _ = build_catalog(encoding(["a", "b", "c"], 0), tokenizer, np.array([9.0, 2.0, 1.0]))
    after, _ = next_catalog(catalog, tokenizer, encoding(["d"], 1))
    assert after.priority is not None
    assert after.priority[after.position["d"]] == 4.0
    given_, _ = next_catalog(catalog, tokenizer, encoding(["d"], 1), priority=np.array([7.0]))
    assert given_.priority is not None
    assert given_.priority[given_.position["d"]] == 7.0


def test_the_extra_code_makes_the_catalogue_one_deeper() -> None:
    catalog, report = build_catalog(encoding([f"i{n}" for n in range(30)], 0), frozen("extend"))
    assert catalog.depth == 3
    assert report.largest_extra == catalog.codes[:, 2].max() > 0


@pytest.mark.parametrize(
    ("tokenizer", "new", "removed", "message"),
    [
        (frozen("reassign"), ["a"], [], "holds 1 of the new items already, 'a' among them"),
        (frozen("reassign"), [], ["a", "b"], "all 2 items would be removed and none added"),
        (frozen("reassign", name="other"), ["c"], [], "was made by tokenizer frozen .*, not by other"),
        (frozen("reassign", size=7), ["c"], [], r"\(2 codes of 6\), not by frozen \(2 codes of 7"),
        (frozen("extend"), ["c"], [], r"not by frozen \(3 codes of 6, policy extend"),
        (frozen("share"), ["c"], [], "policy share"),
        (frozen("reassign"), [f"n{n}" for n in range(35)], [], "37 items do not fit into 36 semantic IDs"),
        (frozen("reassign"), ["c", "c"], [], "1 duplicate item ids"),
    ],
)
def test_what_cannot_be_done(tokenizer: Tokenizer, new: list[str], removed: list[str], message: str) -> None:
    catalog, _ = build_catalog(encoding(["a", "b"], 0), frozen("reassign"))
    with pytest.raises(InputError, match=message):
        next_catalog(catalog, tokenizer, encoding(new, 1) if new else None, removed)


def test_sharing_needs_priorities() -> None:
    with pytest.raises(InputError, match="no priorities were given"):
        build_catalog(encoding(["a"], 0), frozen("share"))


def test_engagement_counts_effective_views_of_the_training_period(prepared: PreparedData) -> None:
    events = prepared.train_events
    engaged = [
        item
        for item, level in zip(events["item_id"].to_pylist(), events["feedback"].to_pylist(), strict=True)
        if level >= Feedback.ENGAGED
    ]
    counts = engagement(prepared, ["never-seen", *prepared.items["item_id"].to_pylist()])
    assert counts[0] == 0
    assert counts.tolist()[1:] == [engaged.count(item) for item in prepared.items["item_id"].to_pylist()]
    assert counts.sum() == len(engaged) > 0
