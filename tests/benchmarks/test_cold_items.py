"""The figures of the benchmark by hand. Run: pytest tests/benchmarks/test_cold_items.py"""

import numpy as np
import pytest

from benchmarks.cold_items import marked, shares


def test_rows_mark_the_items_they_name() -> None:
    place = {"a": 0, "b": 1, "c": 2}
    assert marked([["c", "a"], []], place).tolist() == [[True, False, True], [False, False, False]]


def test_shares_by_hand() -> None:
    """Item 3 is new. Best two unseen: user 0 has 3 and 1 (0 was seen), user 1 has 0 and 3."""
    appeal = np.array([[0.9, 0.5, 0.1, 0.8], [0.9, 0.2, 0.1, 0.6]])
    seen = np.array([[1, 0, 0, 0], [0, 0, 0, 0]], bool)
    shown = np.array([[0, 0, 1, 1], [1, 1, 0, 0]], bool)
    cold = np.array([0, 0, 0, 1], bool)
    assert shares(shown, seen, appeal, cold, best=2) == pytest.approx(
        {
            "cold_best_shown": 1 / 2,
            "warm_best_shown": 1 / 2,
            "best_shown": 2 / 4,
            "cold_first_shown": 1.0,
            "warm_first_shown": 1.0,
            "chance": 4 / 7,
            "cold_share_of_slates": 1 / 4,
            "cold_share_of_unseen": 2 / 7,
            "appeal": (0.1 + 0.8 + 0.9 + 0.2) / 4,
            "appeal_of_cold": 0.8,
        }
    )
    assert shares(shown & ~cold, seen, appeal, cold, best=2)["appeal_of_cold"] == 0.0
