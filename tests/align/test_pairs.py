"""Run: pytest tests/align"""

from collections import Counter
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.align.pairs import build_pairs, shuffled, similarity_order
from higr.catalog import Catalog
from higr.config import AlignConfig, TrainingConfig
from higr.data.schemas import SLATES, Feedback
from higr.training.targets import PADDING

CODES = np.array(list(product(range(4), repeat=3)))
CATALOG = Catalog.build([f"i{n}" for n in range(len(CODES))], CODES, 4)
CODEBOOKS = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4, 8)).astype(np.float32))
TRAINING = TrainingConfig(target_size=5)


def slate_table(rows: list[tuple[list[str], list[int], list[float]]]) -> pa.Table:
    count = len(rows)
    return pa.table(
        {
            "slate_id": [f"s{n}" for n in range(count)],
            "user_id": ["u"] * count,
            "timestamp": [0] * count,
            "history_cutoff": [0] * count,
            "split": ["train"] * count,
            "item_ids": [row[0] for row in rows],
            "watch_seconds": [[1.0] * len(row[0]) for row in rows],
            "strength": [row[2] for row in rows],
            "feedback": [row[1] for row in rows],
            "surface": [None] * count,
        },
        schema=SLATES,
    )


@st.composite
def slates(draw: st.DrawFn) -> pa.Table:
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        items = draw(st.lists(st.sampled_from(CATALOG.item_ids), min_size=2, max_size=6, unique=True))
        feedback = draw(st.lists(st.sampled_from(list(Feedback)), min_size=len(items), max_size=len(items)))
        strength = [float(draw(st.integers(1, 5))) if f >= Feedback.ENGAGED else 0.0 for f in feedback]
        rows.append((items, [int(f) for f in feedback], strength))
    return slate_table(rows)


def only(kind: str, form: str = "similar_fill") -> AlignConfig:
    weights = {name: float(name == kind) for name in ("ranking", "interest", "diversity")}
    return AlignConfig(**weights, diversity_form=form)


@settings(max_examples=60, deadline=None)
@given(table=slates(), kind=st.sampled_from(["ranking", "interest", "diversity"]), seed=st.integers(0, 99))
def test_each_negative_is_what_its_name_says(table: pa.Table, kind: str, seed: int) -> None:
    pairs = build_pairs(table, CATALOG, CODEBOOKS, only(kind), TRAINING, seed)
    similar = similarity_order(CATALOG, CODEBOOKS, 20, "similar_fill")
    for row, chosen, rejected in zip(
        pairs.rows.tolist(), pairs.chosen.tolist(), pairs.rejected.tolist(), strict=True
    ):
        positive = [i for i in chosen if i != PADDING]
        negative = [i for i in rejected if i != PADDING]
        logged = table.slice(row, 1).to_pylist()[0]
        level = {CATALOG.position[i]: f for i, f in zip(logged["item_ids"], logged["feedback"], strict=True)}
        strength = {
            CATALOG.position[i]: s for i, s in zip(logged["item_ids"], logged["strength"], strict=True)
        }
        assert len(positive) == len(negative) == len(set(negative))
        assert positive != negative
        assert all(level[i] >= Feedback.ENGAGED for i in positive)
        assert [strength[i] for i in positive] == sorted((strength[i] for i in positive), reverse=True)
        if kind == "ranking":
            assert Counter(positive) == Counter(negative)
        if kind == "interest":
            replaced = [n for p, n in zip(positive, negative, strict=True) if p != n]
            assert replaced
            assert all(level[i] < Feedback.ENGAGED for i in replaced)
        if kind == "diversity":
            assert negative[0] == positive[0]
            expected = [i for i in similar[positive[0]].tolist() if i not in positive][: len(positive) - 1]
            assert negative[1:] == expected


def test_similarity_order_equals_brute_force_and_its_opposite() -> None:
    vectors = CODEBOOKS[torch.arange(3), CATALOG.code_tensor].sum(1)
    cosine = torch.nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1)
    nearest = similarity_order(CATALOG, CODEBOOKS, 3, "similar_fill")
    furthest = similarity_order(CATALOG, CODEBOOKS, 3, "dissimilar_fill")
    for item in range(len(CATALOG)):
        others = sorted((j for j in range(len(CATALOG)) if j != item), key=lambda j: -cosine[item, j])
        torch.testing.assert_close(cosine[item, nearest[item]], cosine[item, others[:3]])
        torch.testing.assert_close(cosine[item, furthest[item]], cosine[item, others[::-1][:3]])


def test_the_code_that_tells_items_of_one_id_apart_is_no_part_of_their_similarity() -> None:
    extra = np.random.default_rng(0).integers(4, size=(len(CODES), 1))
    longer = Catalog.build(CATALOG.item_ids, np.hstack([CATALOG.codes, extra]), 4)
    plain = similarity_order(CATALOG, CODEBOOKS, 20, "similar_fill")
    assert np.array_equal(similarity_order(longer, CODEBOOKS, 20, "similar_fill"), plain)
    twins = Catalog.build(["a", "b", "c"], np.array([[0, 1, 2, 0], [0, 1, 2, 1], [3, 2, 1, 0]]), 4)
    assert similarity_order(twins, CODEBOOKS, 1, "similar_fill")[:2, 0].tolist() == [1, 0]


def test_slates_without_a_possible_negative_are_counted() -> None:
    table = slate_table([(["i1", "i2"], [2, 1], [1.0, 0.0]), (["i3", "i4"], [2, 2], [1.0, 2.0])])
    pairs = build_pairs(table, CATALOG, CODEBOOKS, only("ranking"), TRAINING, 0)
    assert pairs.counts == {"ranking": 1, "skipped_no_negative": 1}
    assert pairs.rows.tolist() == [1]
    position = CATALOG.position
    assert pairs.chosen[0, :2].tolist() == [position["i4"], position["i3"]]
    assert pairs.rejected[0, :2].tolist() == [position["i3"], position["i4"]]


def test_pairs_are_the_same_for_the_same_seed() -> None:
    rows = [([f"i{5 * n + k}" for k in range(5)], [3, 2, 2, 1, 0], [3.0, 2.0, 1.0, 0, 0]) for n in range(12)]
    one, two, other = (
        build_pairs(slate_table(rows), CATALOG, CODEBOOKS, AlignConfig(), TRAINING, seed)
        for seed in (1, 1, 2)
    )
    assert torch.equal(one.rejected, two.rejected)
    assert not torch.equal(one.rejected, other.rejected)


def test_every_other_order_is_equally_likely() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(tuple(shuffled([1, 2, 3], rng)) for _ in range(2000))
    assert (1, 2, 3) not in counts
    assert len(counts) == 5
    assert min(counts.values()) > 300


def test_no_weight_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one a weight"):
        AlignConfig(ranking=0, interest=0, diversity=0)
