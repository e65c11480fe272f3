"""Cells, and the noise of a PSI: by hand, by direct formula, and by drawing windows that have not changed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.cells import MIN_EXPECTED, Cells, cells, design_effect, noise


def column(**counts: int) -> pd.Series:
    return pd.Series([label for label, count in counts.items() for _ in range(count)], dtype=object)


def counts(found: Cells) -> dict[str, tuple[int, int]]:
    """Label to rows in reference and current."""
    size = len(found.labels)
    pairs = zip(
        np.bincount(found.reference, minlength=size), np.bincount(found.current, minlength=size), strict=True
    )
    return {label: (int(a), int(b)) for label, (a, b) in zip(found.labels, pairs, strict=True)}


@pytest.mark.parametrize(
    ("reference", "current", "expected"),
    [
        pytest.param(
            {"a": 60, "b": 40}, {"a": 50, "b": 50}, {"a": (60, 50), "b": (40, 50)}, id="all frequent"
        ),
        pytest.param(
            {"a": 90, "b": 5, "c": 5},
            {"a": 80, "b": 10, "c": 10},
            {"a": (90, 80), "other": (10, 20)},
            id="rare ones together are a cell",  # 7.5 rows each, 15 together
        ),
        pytest.param(
            {"a": 70, "b": 29, "c": 1},
            {"a": 70, "b": 29, "c": 1},
            {"a": (70, 70), "b and other": (30, 30)},
            id="too rare even together: with the smallest",
        ),
        pytest.param(
            {"a": 10_000},
            {"a": 80, "new": 20},
            {"a": (10_000, 80), "new": (0, 20)},
            id="new label keeps its cell against a large reference",  # 10 % of 100 at the mean share
        ),
        pytest.param(
            {"a": 80, "gone": 20}, {"a": 100}, {"a": (80, 100), "gone": (20, 0)}, id="vanished label too"
        ),
        pytest.param({"a": 3, "b": 3}, {"a": 3, "b": 3}, {"other": (6, 6)}, id="nothing frequent"),
    ],
)
def test_rare_labels_are_merged(
    reference: dict[str, int], current: dict[str, int], expected: dict[str, tuple[int, int]]
) -> None:
    assert counts(cells(column(**reference), column(**current))) == expected


def test_psi_by_hand() -> None:
    found = cells(column(a=50, b=50), column(a=80, b=20))
    # (.8 - .5) ln(.8 / .5) + (.2 - .5) ln(.2 / .5)
    assert found.psi_parts().sum() == pytest.approx(0.3 * np.log(1.6) + 0.3 * np.log(2.5))
    found = cells(column(higr=1000), column(higr=980, fallback=20))
    # the empty cell counts as 0.0001, so 2 % of fallback where there was none is just a watch
    assert found.psi_parts().sum() == pytest.approx(0.0199 * np.log(200) - 0.02 * np.log(0.98), abs=1e-9)
    assert found.psi_parts().sum() == pytest.approx(0.1058, abs=1e-4)


def test_numbers_are_cut_at_the_deciles_of_the_reference() -> None:
    reference = pd.Series(np.arange(1000.0))
    found = cells(reference, pd.Series(np.full(1000, 999.0)))
    assert found.shares()[0] == pytest.approx([0.1] * 10)
    last = found.labels.index("over 899.1")
    assert found.shares()[1][last] == 1.0


def test_few_distinct_numbers_are_labels() -> None:
    found = cells(pd.Series([0.5] * 50 + [1.0] * 50), pd.Series([0.5] * 20 + [1.0] * 80))
    assert counts(found) == {"0.5": (50, 20), "1": (50, 80)}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=200),
    st.lists(st.integers(0, 12), min_size=1, max_size=200),
)
def test_no_row_is_lost_and_every_cell_counts(reference: list[int], current: list[int]) -> None:
    found = cells(pd.Series([f"{v}" for v in reference]), pd.Series([f"{v}" for v in current]))
    assert (len(found.reference), len(found.current)) == (len(reference), len(current))
    old, new = found.shares()
    assert old.sum() == pytest.approx(1)
    assert new.sum() == pytest.approx(1)
    if len(found.labels) > 1:
        assert ((old + new) / 2 * min(len(reference), len(current)) >= MIN_EXPECTED - 1e-9).all()
    assert np.isfinite(found.psi_parts()).all()
    assert (found.psi_parts() >= 0).all()


@pytest.mark.parametrize(
    ("rows", "users", "expected"),
    [
        pytest.param([0, 1] * 50, range(100), 1.0, id="a user a row"),
        pytest.param(
            [0] * 50 + [1] * 50, [i // 5 for i in range(100)], 5.0 * 20 / 19, id="five equal rows a user"
        ),
        pytest.param([0, 1] * 50, [0] * 100, 100.0, id="one user"),
        pytest.param([0] * 100, range(100), 1.0, id="one cell"),
        pytest.param([0, 1] * 50, [i // 2 for i in range(100)], 1.0, id="users alike: never below 1"),
    ],
)
def test_design_effect_by_hand(rows: list[int], users: list[int], expected: float) -> None:
    # a user a row: n p (1 - p) summed over two cells is n p (1 - p) (1/p + 1/(1-p)) = n, times 100/99
    tolerance = 0.011 if expected == 1.0 else 1e-9
    assert design_effect(np.array(rows), np.array(users)) == pytest.approx(expected, abs=tolerance)


def test_design_effect_is_the_direct_formula() -> None:
    rng = np.random.default_rng(0)
    rows, users = rng.integers(0, 7, 500), rng.integers(0, 40, 500)
    share = np.bincount(rows) / 500
    table = np.zeros((40, 7))
    np.add.at(table, (users, rows), 1)
    spread = ((table - table.sum(1, keepdims=True) * share) ** 2).sum(0) * 40 / 39
    assert design_effect(rows, users) == pytest.approx(max(1, (spread / (500 * share)).sum() / 6))


@pytest.mark.parametrize("labels", [4, 64])
def test_unchanged_windows_of_clustered_users_stay_under_the_noise(labels: int) -> None:
    rng = np.random.default_rng(labels)
    base = 1 / np.arange(1, labels + 1)

    def window(users: int) -> tuple[pd.Series, np.ndarray]:
        tastes = rng.dirichlet(2 * base / base.sum(), size=users)  # few favourites each
        owner = np.repeat(np.arange(users), 10)
        drawn = (rng.random((len(owner), 1)) > tastes[owner].cumsum(1)[:, :-1]).sum(1)
        return pd.Series(drawn.astype(str), dtype=object), owner

    over = naive = 0
    for _ in range(60):
        (old, old_users), (new, new_users) = window(200), window(100)
        found = cells(old, new)
        psi = found.psi_parts().sum()
        over += psi > noise(found, old_users, new_users)
        naive += psi > noise(found, np.arange(len(old)), np.arange(len(new)))
    assert over <= 2
    assert naive >= 10  # what counting rows as independent would have reported
