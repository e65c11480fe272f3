"""Popularity: order, ties, exclusions, what may be counted."""

import pytest

from higr.baseline.popularity import Popularity
from higr.errors import InputError
from higr.slate import UserContext
from tests.baseline.worlds import items_table, prepared

ITEMS = {"a": "x", "b": "x", "c": "y", "d": "y", "e": "z"}
EVENTS = [
    ("u", "b", 0, 2),
    ("v", "b", 0, 3),
    ("u", "c", 1, 2),
    ("u", "a", 2, 1),  # exposed alone does not count
    ("v", "a", 3, 0),
    ("v", "d", 4, 2),
    ("w", "d", 5, 2),
    ("w", "d", 6, 2),
    ("w", "e", 50, 3),  # validation period
]
SOMEONE = UserContext("someone")


def fitted(disabled: tuple[str, ...] = ()) -> Popularity:
    return Popularity.fit(prepared(items_table(ITEMS, disabled), EVENTS, validation_hour=50))


def test_order_is_by_effective_views_of_the_training_period_with_ties_in_catalogue_order() -> None:
    assert fitted().item_ids == ("d", "b", "c", "a", "e")
    assert fitted().engaged == (3, 2, 1, 0, 0)


@pytest.mark.parametrize(
    ("size", "exclude", "expected"),
    [
        (2, (), ("d", "b")),
        (2, ("d",), ("b", "c")),
        (3, ("b", "unknown"), ("d", "c", "a")),
        (9, ("a",), ("d", "b", "c", "e")),
        (1, ITEMS, ()),
    ],
)
def test_exclusions(size: int, exclude: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert fitted().recommend([SOMEONE], size, [exclude])[0].item_ids == expected


def test_disabled_items_are_never_recommended() -> None:
    assert fitted(disabled=("d",)).recommend([SOMEONE], 9)[0].item_ids == ("b", "c", "a", "e")


def test_bad_requests_say_what_is_wrong() -> None:
    with pytest.raises(InputError, match="slate size 0"):
        fitted().recommend([SOMEONE], 0)
    with pytest.raises(InputError, match="1 exclusions for 2 contexts"):
        fitted().recommend([SOMEONE, SOMEONE], 1, [()])
