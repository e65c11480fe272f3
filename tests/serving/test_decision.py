"""Slates that keep to a decision."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serving.decision import Decision, Slot

ITEMS = [f"i{n}" for n in range(12)]
NAMES = st.sampled_from([*ITEMS, "gone"])
CATEGORY = {item: f"c{n % 3}" for n, item in enumerate(ITEMS)}
CREATOR = {item: f"k{n % 4}" for n, item in enumerate(ITEMS) if n % 5}
CAPS = st.none() | st.integers(1, 3)
DECISIONS = st.builds(
    Decision,
    blocked=st.frozensets(NAMES, max_size=8),
    per_category=CAPS,
    per_creator=CAPS,
    slots=st.dictionaries(
        st.integers(1, 8), st.builds(Slot, st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.just("Ad"))
    ),
    category=st.just(CATEGORY),
    creator=st.just(CREATOR),
)


def fits(decision: Decision, items: list[str]) -> bool:
    """Written again, as a sentence: nothing twice, nothing blocked, no cap passed."""
    for most, of in ((decision.per_category, CATEGORY), (decision.per_creator, CREATOR)):
        counts = Counter(of[item] for item in items if item in of)
        if most is not None and any(count > most for count in counts.values()):
            return False
    return len(set(items)) == len(items) and decision.blocked.isdisjoint(items)


@given(DECISIONS, st.permutations(ITEMS), st.integers(1, 8), st.frozensets(NAMES, max_size=6))
def test_a_slate_keeps_to_its_decision_and_cannot_be_longer(
    decision: Decision, order: list[str], size: int, excluded: frozenset[str]
) -> None:
    pinned = decision.sold(size, excluded, frozenset(ITEMS))
    slate = decision.keep(order, size, excluded, pinned)
    assert fits(decision, slate)
    assert excluded.isdisjoint(slate)
    assert set(pinned.values()) <= set(slate)
    if len(slate) == size:
        assert all(slate[position - 1] == item for position, item in pinned.items())
    else:
        left = [item for item in ITEMS if item not in slate and item not in excluded]
        assert len(slate) < size
        assert not any(fits(decision, [*slate, item]) for item in left)
    free = [item for item in slate if item not in pinned.values()]
    assert free == sorted(free, key=order.index)
    for place, item in enumerate(free):  # nothing better would have done in its place
        for better in order[: order.index(item)]:
            if better not in slate and better not in excluded:
                assert not fits(decision, [*pinned.values(), *free[:place], better])


@given(DECISIONS, st.integers(1, 8), st.frozensets(NAMES, max_size=6))
def test_a_slot_is_sold_to_the_first_item_that_may_stand_there(
    decision: Decision, size: int, excluded: frozenset[str]
) -> None:
    pinned = decision.sold(size, excluded, frozenset(ITEMS))
    assert set(pinned) <= set(decision.slots)
    before: list[str] = []
    for position in sorted(decision.slots):
        if position > size:
            assert position not in pinned
            continue
        may = [
            item
            for item in decision.slots[position].items
            if item in ITEMS and item not in excluded and fits(decision, [*before, item])
        ]
        assert pinned.get(position) == (may[0] if may else None)
        before += may[:1]


def test_without_rules_the_order_is_the_slate() -> None:
    assert Decision().keep(["b", "a", "b", "c"], 2, (), {}) == ["b", "a"]


def test_what_is_sold_behind_the_end_moves_up() -> None:
    decision = Decision(slots={4: Slot(("s",), "Ad")})
    assert decision.keep(["a"], 4, (), {4: "s"}) == ["a", "s"]
