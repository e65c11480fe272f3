"""Run: pytest tests/decode/test_parity.py"""

from collections.abc import Collection, Sequence
from math import log2

import pytest

from higr.decode.parity import measure_parity
from higr.errors import InputError
from higr.slate import Slate, UserContext


class Listed:
    """Gives every user the slate written down for them, without excluded items."""

    def __init__(self, slates: dict[str, str]) -> None:
        self.slates = slates
        self.largest = 0

    def recommend(
        self,
        contexts: Sequence[UserContext],
        slate_size: int,
        exclude: Sequence[Collection[str]] | None = None,
    ) -> list[Slate]:
        self.largest = max(self.largest, len(contexts))
        out = []
        for context, without in zip(contexts, exclude or [()] * len(contexts), strict=True):
            items = [item for item in self.slates[context.user_id] if item not in without][:slate_size]
            out.append(Slate(tuple(items), (0.0,) * len(items)))
        return out


REFERENCE = Listed({"u": "abcdefghij", "v": "abcdefghij", "w": "abcdefghij"})
ENGINE = Listed({"u": "abcdefghij", "v": "bacdefghij", "w": "abcdefghyz"})
CONTEXTS = [UserContext(user) for user in "uvw"]


def test_figures_worked_out_by_hand() -> None:
    gains = [{"a": 1.0}, {"a": 1.0, "q": 0.0}, {}]
    parity = measure_parity(REFERENCE, ENGINE, CONTEXTS, gains)
    assert parity.identical == pytest.approx(1 / 3)
    assert parity.overlap == pytest.approx((10 + 10 + 8) / 30)
    assert parity.ndcg_delta is not None
    # u: 1 - 1; v: its item fell from the first to the second position; w has no gain and does not count.
    assert parity.ndcg_delta.mean == pytest.approx((1 / log2(3) - 1) / 2)
    assert parity.ndcg_delta.slates == 2
    assert parity.ndcg_delta.low == pytest.approx(1 / log2(3) - 1)  # draws of v alone are many
    assert parity.ndcg_delta.high == pytest.approx(0)


def test_positions_behind_the_fifth_do_not_count_in_the_ndcg() -> None:
    parity = measure_parity(
        Listed({"u": "abcdefghij"}), Listed({"u": "abcdegfhij"}), [UserContext("u")], [{"f": 1.0, "a": 0.5}]
    )
    assert parity.identical == 0
    assert parity.overlap == 1
    assert parity.ndcg_delta is not None
    assert parity.ndcg_delta.mean == 0


def test_users_are_drawn_not_slates() -> None:
    """One user with many slates that lose: a draw holds all of them or none."""
    contexts = [UserContext("v")] * 9 + [UserContext("u")]
    parity = measure_parity(REFERENCE, ENGINE, contexts, [{"a": 1.0}] * 10)
    lost = 1 / log2(3) - 1
    assert parity.ndcg_delta is not None
    assert parity.ndcg_delta.mean == pytest.approx(0.9 * lost)
    assert (parity.ndcg_delta.low, parity.ndcg_delta.high) == (pytest.approx(lost), pytest.approx(0))


def test_without_gains_there_is_no_ndcg() -> None:
    parity = measure_parity(REFERENCE, ENGINE, CONTEXTS, [{}, {}, {"a": 0.0}])
    assert parity.ndcg_delta is None
    assert parity.identical == pytest.approx(1 / 3)


def test_exclusions_go_to_both_and_batches_are_bounded() -> None:
    reference, engine = Listed({"v": "abcdefghij"}), Listed({"v": "bacdefghij"})
    contexts = [UserContext("v")] * 130
    parity = measure_parity(reference, engine, contexts, [{}] * 130, [{"a"}] * 130, slate_size=3)
    assert parity.identical == 1
    assert reference.largest == engine.largest == 64


@pytest.mark.parametrize(("contexts", "gains"), [(CONTEXTS, [{}]), ([], [])])
def test_bad_input_is_named(contexts: list[UserContext], gains: list[dict[str, float]]) -> None:
    with pytest.raises(InputError, match="give one a context"):
        measure_parity(REFERENCE, ENGINE, contexts, gains)
