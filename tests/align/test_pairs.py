"""Run: pytest tests/align"""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.align.pairs import NEGATIVES, Pairs, build_pairs
from higr.align.signals import Signals
from higr.align.similar import quantised_vectors, similarity_order
from higr.catalog import Catalog
from higr.config import PreferenceConfig, SignalConfig, TrainingConfig
from higr.data.schemas import Feedback
from higr.errors import InputError
from higr.training import exposures
from higr.training.targets import PADDING
from tests.align.worlds import CATALOG, CODEBOOKS, CODES, only, slate_table, slate_tables

TRAINING = TrainingConfig(target_size=5)
VECTORS = quantised_vectors(CATALOG, CODEBOOKS)
COSINE = (VECTORS @ VECTORS.T).numpy()
LEVELS = np.random.default_rng(1).integers(0, 20, size=len(CATALOG)) / 20
"""Of a signal; equal for some items."""


def signals(kind: str, slates: pa.Table, levels: np.ndarray = LEVELS) -> Signals:
    return Signals(np.zeros(slates.num_rows), {kind: levels}, 1.0)


def build(
    table: pa.Table,
    config: PreferenceConfig,
    seed: int = 0,
    training: TrainingConfig = TRAINING,
    own: list[list[int]] | None = None,
) -> Pairs:
    """With the signals that the configuration names and, if not given, own slates drawn at random."""
    kinds = [signal.kind for signal in config.signals]
    given = signals(kinds[0], table) if kinds else None
    draw = np.random.default_rng(7)
    slates = [draw.permutation(len(CATALOG))[:6].tolist() for _ in range(table.num_rows)]
    own = slates if own is None and config.on_policy else own
    tensor = None if own is None else torch.tensor(own, dtype=torch.int64).reshape(len(own), 6)
    return build_pairs(table, CATALOG, CODEBOOKS, config, training, seed, signals=given, own=tensor)


class Logged:
    """A logged slate by the definitions: of an item exposed twice the better received exposure counts."""

    def __init__(self, table: pa.Table, row: int, size: int = 5) -> None:
        shown = table.slice(row, 1).to_pylist()[0]
        best: dict[int, tuple[float, int]] = {}
        for item, level, s in zip(shown["item_ids"], shown["feedback"], shown["strength"], strict=True):
            if item not in CATALOG.position:
                continue
            score = s if level >= Feedback.ENGAGED else -1.0
            place = CATALOG.position[item]
            if place not in best or score > best[place][0]:
                best.pop(place, None)
                best[place] = (score, level)
        self.level = {item: level for item, (_, level) in best.items()}
        self.strength = {item: score for item, (score, _) in best.items() if score >= 0}
        self.positive = sorted(self.strength, key=lambda item: -self.strength[item])[:size]
        self.unengaged = [item for item in best if item not in self.strength]

    def worth(self, items: list[int]) -> float:
        return sum(self.strength.get(item, 0.0) for item in items)


def listed(pairs: Pairs) -> list[tuple[int, list[int], list[int], str]]:
    """(row, chosen, rejected, kind) without padding."""
    columns = (pairs.rows, pairs.chosen, pairs.rejected, pairs.kinds)
    return [
        (row, [i for i in good if i != PADDING], [i for i in bad if i != PADDING], NEGATIVES[kind])
        for row, good, bad, kind in zip(*(column.tolist() for column in columns), strict=True)
    ]


@settings(max_examples=40, deadline=None)
@given(table=slate_tables(), kind=st.sampled_from(NEGATIVES), seed=st.integers(0, 99))
def test_every_pair_is_of_equal_length_and_of_two_slates(table: pa.Table, kind: str, seed: int) -> None:
    config = only(kind)
    pairs = build(table, config, seed)
    assert pairs.chosen.shape == pairs.rejected.shape == (len(pairs), 5)
    assert pairs.counts.get(kind, 0) == len(pairs)
    assert sum(pairs.counts.values()) == table.num_rows
    for row, positive, negative, named in listed(pairs):
        assert named == kind
        assert positive == Logged(table, row).positive
        assert len(positive) == len(negative) == len(set(negative))
        assert positive != negative


@settings(max_examples=40, deadline=None)
@given(table=slate_tables(), disorder=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_ranking_moves_at_most_the_share_of_positions(table: pa.Table, disorder: float, seed: int) -> None:
    pairs = build(table, only("ranking", disorder=disorder), seed)
    for _, positive, negative, _ in listed(pairs):
        moved = [p for p, n in zip(positive, negative, strict=True) if p != n]
        assert sorted(positive) == sorted(negative)
        assert 2 <= len(moved) <= max(2, round(disorder * len(positive)))
    expected = [row for row in range(table.num_rows) if len(Logged(table, row).positive) > 1]
    assert pairs.rows.tolist() == expected


@settings(max_examples=40, deadline=None)
@given(table=slate_tables(), share=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_interest_replaces_by_what_was_received_worst(table: pa.Table, share: float, seed: int) -> None:
    pairs = build(table, only("interest", interest_share=share), seed)
    for row, positive, negative, _ in listed(pairs):
        logged = Logged(table, row)
        replaced = [n for p, n in zip(positive, negative, strict=True) if p != n]
        worst_first = sorted(logged.unengaged, key=lambda item: logged.level[item])
        due = max(1, round(share * len(positive)))
        assert replaced == worst_first[:due]


@settings(max_examples=40, deadline=None)
@given(table=slate_tables(), form=st.sampled_from(["similar_fill", "dissimilar_fill"]))
def test_diversity_repeats_the_kind_of_the_first_item_or_leaves_it(table: pa.Table, form: str) -> None:
    for _, positive, negative, _ in listed(build(table, only("diversity", diversity_form=form))):
        cosine = COSINE[positive[0]] * (1 if form == "similar_fill" else -1)
        others = sorted(set(range(len(CATALOG))) - set(positive), key=lambda item: -cosine[item])
        assert negative[0] == positive[0]
        expected = cosine[others[: len(positive) - 1]]
        np.testing.assert_allclose(cosine[negative[1:]], expected, atol=1e-6)
        assert not set(negative[1:]) & set(positive)


@settings(max_examples=40, deadline=None)
@given(table=slate_tables(), data=st.data())
def test_own_slates_are_rejected_where_feedback_scores_them_lower(
    table: pa.Table, data: st.DataObject
) -> None:
    positions = st.sampled_from([*range(3), *range(40, 44)])
    slates = [data.draw(st.lists(positions, max_size=6, unique=True)) for _ in range(table.num_rows)]
    own = [slate + [PADDING] * (6 - len(slate)) for slate in slates]
    pairs = build(table, only("on_policy"), own=own)
    expected = []
    for row, slate in enumerate(slates):
        logged = Logged(table, row)
        slate = slate[: len(logged.positive)]
        same_length = len(slate) == len(logged.positive) > 0
        if same_length and logged.worth(slate) < logged.worth(logged.positive):
            expected.append((row, logged.positive, slate, "on_policy"))
    assert listed(pairs) == expected


@settings(max_examples=40, deadline=None)
@given(table=slate_tables(), kind=st.sampled_from(NEGATIVES[4:]), top=st.sampled_from([1, 64]))
def test_signals_exchange_items_for_similar_ones_of_a_lower_signal(
    table: pa.Table, kind: str, top: int
) -> None:
    exchange_as_defined(table, kind, np.where(np.arange(len(CATALOG)) < top, LEVELS, 0.0))


@pytest.mark.parametrize("place", range(5))
def test_neighbours_that_the_slate_holds_already_are_passed_over(place: int) -> None:
    """One item and the four most similar to it, all of them above the rest of the catalogue."""
    items = np.argsort(-COSINE[7], kind="stable")[:5]
    levels = np.full(len(CATALOG), 0.5)
    levels[items] = np.roll([1.0, 0.9, 0.8, 0.7, 0.6], place)
    names = [CATALOG.item_ids[item] for item in items[::-1]]
    table = slate_table([(names, [2] * 5, [5.0, 4.0, 3.0, 2.0, 1.0])])
    exchange_as_defined(table, "value", levels)


def exchange_as_defined(table: pa.Table, kind: str, levels: np.ndarray) -> None:
    given = signals(kind, table, levels)
    pairs = build_pairs(table, CATALOG, CODEBOOKS, only(kind), TRAINING, 0, signals=given)
    found = {row: (positive, negative) for row, positive, negative, _ in listed(pairs)}
    for row in range(table.num_rows):
        positive = Logged(table, row).positive
        slate = list(positive)
        for place, item in enumerate(positive):
            out = {*positive, *slate}
            lower = [i for i in range(len(CATALOG)) if levels[i] < levels[item] and i not in out]
            if not lower:
                continue
            # Cosines may be equal: what stands there must be as similar as the most similar one.
            taken = found[row][1][place]
            assert taken in lower
            assert COSINE[item, taken] == pytest.approx(COSINE[item, lower].max(), abs=1e-6)
            slate[place] = taken
        assert found.get(row, (positive, positive))[1] == slate
        assert (row in found) == (slate != positive)


@pytest.mark.parametrize("cells", [1, 200])
@settings(max_examples=30, deadline=None)
@given(table=slate_tables(), seed=st.integers(0, 99))
def test_pairs_depend_on_the_seed_and_not_on_the_chunks(cells: int, table: pa.Table, seed: int) -> None:
    config = PreferenceConfig(on_policy=1.0, signals=(SignalConfig(kind="value", negative=1.0),))
    whole = build(table, config, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exposures, "CELLS", cells)
        pieces = build(table, config, seed)
    assert listed(whole) == listed(pieces)
    assert whole.counts == pieces.counts


def test_another_seed_gives_other_pairs_of_the_same_positives() -> None:
    rows = [([f"i{5 * n + k}" for k in range(5)], [3, 2, 2, 1, 0], [3.0, 2.0, 1.0, 0, 0]) for n in range(12)]
    one, other = (build(slate_table(rows), PreferenceConfig(), seed) for seed in (1, 2))
    assert not torch.equal(one.rejected, other.rejected)
    assert torch.equal(one.chosen, other.chosen)


def test_every_other_order_is_equally_likely() -> None:
    table = slate_table([(["i1", "i2", "i3"], [2, 2, 2], [3.0, 2.0, 1.0])] * 6000)
    counts = Counter(tuple(slate) for _, _, slate, _ in listed(build(table, only("ranking"))))
    assert len(counts) == 5
    assert max(abs(count - 1200) for count in counts.values()) < 5 * (1200 * 0.8) ** 0.5


def test_kinds_are_drawn_by_weight_among_those_the_slate_allows() -> None:
    both, no_interest = ["i1", "i2", "i3"], ["i1", "i2"]
    rows = [(both, [2, 2, 1], [2.0, 1.0, 0.0])] * 4000 + [(no_interest, [2, 2], [2.0, 1.0])] * 10
    config = PreferenceConfig(ranking=1.0, interest=3.0, diversity=0.0)
    counts = build(slate_table(rows), config).counts
    assert set(counts) == {"ranking", "interest"}
    assert counts["ranking"] - 10 == pytest.approx(1000, abs=5 * (4000 * 0.25 * 0.75) ** 0.5)


def test_interest_replaces_every_position_alike() -> None:
    table = slate_table([(["i1", "i2", "i3"], [2, 2, 0], [2.0, 1.0, 0.0])] * 2000)
    first = sum(
        slate[0] == CATALOG.position["i3"] for _, _, slate, _ in listed(build(table, only("interest")))
    )
    assert first == pytest.approx(1000, abs=5 * 500**0.5)


def test_signals_add_to_the_strength_that_orders_the_positive() -> None:
    table = slate_table([(["i1", "i2", "i3"], [2, 2, 1], [3.0, 2.0, 0.0])])
    levels = np.zeros(len(CATALOG))
    levels[CATALOG.position["i2"]] = 1.0

    def order(strength: float, logged: float = 1.0) -> list[str]:
        signal = SignalConfig(kind="value", strength=strength)
        config = only("ranking", signals=(signal,), logged=logged)
        given = signals("value", table, levels)
        pairs = build_pairs(table, CATALOG, CODEBOOKS, config, TRAINING, 0, signals=given)
        return [CATALOG.item_ids[i] for i in listed(pairs)[0][1]]

    assert order(0.9) == ["i1", "i2"]
    assert order(1.1) == ["i2", "i1"]
    assert order(0.9, logged=0.8) == ["i2", "i1"]


LOGGED = {
    "none engaged": (["i1", "i2"], [1, 0], [0.0, 0.0]),
    "empty": ([], [], []),
    "unknown": (["gone", "i2"], [2, 1], [1.0, 0.0]),
    "one of two": (["i1", "i2"], [2, 1], [1.0, 0.0]),
    "one": (["i1"], [2], [1.0]),
    "all of two": (["i1", "i2"], [2, 2], [1.0, 2.0]),
}


@pytest.mark.parametrize(
    ("slate", "config", "counts"),
    [
        ("none engaged", PreferenceConfig(), {"skipped_no_engagement": 1}),
        ("empty", PreferenceConfig(), {"skipped_no_engagement": 1}),
        ("unknown", PreferenceConfig(), {"skipped_no_engagement": 1}),
        ("one", PreferenceConfig(), {"skipped_one_item_and_all_engaged": 1}),
        ("one", only("diversity"), {"skipped_one_item": 1}),
        ("one of two", PreferenceConfig(), {"interest": 1}),
        ("one of two", only("ranking"), {"skipped_one_item": 1}),
        ("all of two", only("interest"), {"skipped_all_engaged": 1}),
        ("all of two", only("ranking"), {"ranking": 1}),
    ],
)
def test_slates_without_a_negative_are_counted_by_reason(
    slate: str, config: PreferenceConfig, counts: dict[str, int]
) -> None:
    assert build(slate_table([LOGGED[slate]]), config).counts == counts


def test_a_positive_shorter_than_asked_for_is_counted() -> None:
    training = TrainingConfig(target_size=5, min_engaged=3)
    table = slate_table([LOGGED["all of two"], LOGGED["none engaged"]])
    counts = build(table, PreferenceConfig(), training=training).counts
    assert counts == {"skipped_no_engagement": 1, "skipped_too_little_engagement": 1}


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ([1, 0, *[PADDING] * 4], "own_not_worse"),
        ([5, *[PADDING] * 5], "own_too_short"),
        ([PADDING] * 6, "own_too_short"),
    ],
)
def test_own_slates_that_make_no_pair_are_counted(own: list[int], reason: str) -> None:
    table = slate_table([([CATALOG.item_ids[0], CATALOG.item_ids[1]], [2, 2], [0.1, 0.2])])
    assert build(table, only("on_policy"), own=[own]).counts == {f"skipped_{reason}": 1}


def test_a_catalogue_with_too_few_items_to_fill_a_slate_is_counted() -> None:
    few = Catalog.build(["i0", "i1", "i2", "i3"], CODES[:4], 4)
    ids, levels, strength = ["i0", "i1", "i2"], [2, 2, 2], [3.0, 2.0, 1.0]
    table = slate_table([(ids, levels, strength), (ids[:2], levels[:2], strength[:2])])
    pairs = build_pairs(table, few, CODEBOOKS, only("diversity"), TRAINING, 0)
    assert pairs.counts == {"diversity": 1, "skipped_too_few_similar": 1}
    assert pairs.rows.tolist() == [1]


@pytest.mark.parametrize(
    ("levels", "counts"),
    [
        ([0.0, 0.0, 0.0], {"skipped_no_lower_signal": 1}),
        ([0.5, 1.0, 1.0], {"skipped_no_lower_signal": 1}),  # the only lower one is in the slate
        ([0.5, 1.0, 0.9], {"value": 1}),
    ],
)
def test_no_lower_signal_outside_of_the_slate_is_counted(levels: list[float], counts: dict) -> None:
    few = Catalog.build(["i0", "i1", "i2"], CODES[:3], 4)
    table = slate_table([(["i0", "i1"], [2, 2], [2.0, 1.0])])
    given = signals("value", table, np.array(levels))
    assert build_pairs(table, few, CODEBOOKS, only("value"), TRAINING, 0, signals=given).counts == counts


def test_the_signal_of_what_was_not_engaged_with_is_worth_nothing() -> None:
    table = slate_table([(["i1", "i2"], [2, 1], [1.0, 0.0])])
    levels = np.where(np.arange(len(CATALOG)) == CATALOG.position["i2"], 1.0, 0.0)
    config = only("on_policy", signals=(SignalConfig(kind="value", strength=5.0),))
    own = torch.tensor([[CATALOG.position["i2"]]])
    given = signals("value", table, levels)
    pairs = build_pairs(table, CATALOG, CODEBOOKS, config, TRAINING, 0, signals=given, own=own)
    assert pairs.counts == {"on_policy": 1}


def test_slates_that_the_model_cannot_tell_apart_are_counted() -> None:
    codes = np.array([[0, 1, 2], [0, 1, 2], [3, 2, 1]])
    shared = Catalog.build(["a", "b", "c"], codes, 4, priority=np.array([2.0, 1.0, 0.0]))
    table = slate_table([(["a", "b"], [2, 2], [2.0, 1.0]), (["a", "c"], [2, 2], [2.0, 1.0])])
    pairs = build_pairs(table, shared, CODEBOOKS, only("ranking"), TRAINING, 0)
    assert pairs.counts == {"ranking": 1, "skipped_same_codes": 1}
    assert pairs.rows.tolist() == [1]


def test_no_slates_give_no_pairs() -> None:
    pairs = build(slate_table([]), PreferenceConfig())
    assert (len(pairs), pairs.chosen.shape, pairs.counts) == (0, (0, 5), {})


@pytest.mark.parametrize(
    ("config", "arguments", "message"),
    [
        (only("on_policy"), {}, r"align\.preference\.on_policy is 1, but the model's own slates are missing"),
        (only("on_policy"), {"own": torch.zeros(2, 3, dtype=torch.int64)}, r"shape \(2, 3\).*\(1, length\)"),
        (only("on_policy"), {"own": torch.full((1, 2), 64)}, r"hold 64\.\.64.*0\.\.63"),
        (only("value"), {}, r"align\.preference\.signals names value, but no such signal"),
        (
            only("value"),
            {"signals": Signals(np.zeros(1), {"freshness": LEVELS}, 1.0)},
            r"names value, but no such signal",
        ),
        (only("value"), {"signals": Signals(np.zeros(3), {"value": LEVELS}, 1.0)}, "are of 3 slates, 1 are"),
    ],
)
def test_what_the_configuration_asks_for_must_be_given(
    config: PreferenceConfig, arguments: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_pairs(slate_table([LOGGED["one"]]), CATALOG, CODEBOOKS, config, TRAINING, 0, **arguments)


def test_no_weight_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one a weight"):
        PreferenceConfig(ranking=0, interest=0, diversity=0)


def test_similarity_order_equals_brute_force_and_its_opposite() -> None:
    vectors = CODEBOOKS[torch.arange(3), CATALOG.code_tensor].sum(1)
    cosine = torch.nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1)
    asked = np.array([5, 0, 63])
    nearest = similarity_order(VECTORS, asked, 3)
    furthest = similarity_order(VECTORS, asked, 3, "dissimilar_fill")
    for place, item in enumerate(asked.tolist()):
        others = sorted((j for j in range(len(CATALOG)) if j != item), key=lambda j: -cosine[item, j])
        torch.testing.assert_close(cosine[item, nearest[place]], cosine[item, others[:3]])
        torch.testing.assert_close(cosine[item, furthest[place]], cosine[item, others[::-1][:3]])


def test_similarity_order_does_not_depend_on_how_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, levels = np.arange(len(CATALOG)), np.random.default_rng(2).permutation(len(CATALOG)) * 1.0
    whole = similarity_order(VECTORS, asked, 70, levels=levels)
    monkeypatch.setattr("higr.align.similar.ROWS", 5)
    monkeypatch.setattr("higr.align.similar.COLUMNS", 7)
    pieces = similarity_order(VECTORS, asked, 70, levels=levels)
    lower = (levels[:, None] > levels).sum(axis=1)
    assert (whole >= 0).sum(axis=1).tolist() == (pieces >= 0).sum(axis=1).tolist() == lower.tolist()
    for item, one, other in zip(asked, whole, pieces, strict=True):
        np.testing.assert_allclose(COSINE[item, one[one >= 0]], COSINE[item, other[other >= 0]], atol=1e-6)
        assert (levels[one[one >= 0]] < levels[item]).all()


def test_the_code_that_tells_items_of_one_id_apart_is_no_part_of_their_similarity() -> None:
    extra = np.random.default_rng(0).integers(4, size=(len(CODES), 1))
    longer = Catalog.build(CATALOG.item_ids, np.hstack([CATALOG.codes, extra]), 4)
    assert torch.equal(quantised_vectors(longer, CODEBOOKS), VECTORS)
    twins = Catalog.build(["a", "b", "c"], np.array([[0, 1, 2, 0], [0, 1, 2, 1], [3, 2, 1, 0]]), 4)
    order = similarity_order(quantised_vectors(twins, CODEBOOKS), np.arange(2), 1)
    assert order[:, 0].tolist() == [1, 0]
