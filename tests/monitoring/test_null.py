"""What chance does: adjusted p-values by hand, quiet windows stay quiet, moved ones are seen."""

import numpy as np
import pyarrow as pa
import pytest

from monitoring.null import Null, adjusted
from monitoring.signals import Cells, Spec, jensen_shannon, psi, specs, value
from monitoring.tally import BLOCKS, TALLY, Places, Tally


def test_holm_and_hochberg_by_hand() -> None:
    holm, hochberg = adjusted([0.04, 0.01, 0.03])
    assert holm == pytest.approx([0.06, 0.03, 0.06])
    assert hochberg == pytest.approx([0.04, 0.03, 0.04])


def cells(*rows: list[int], labels: str = "ab") -> Cells:
    n = np.array(rows, dtype=float)
    return Cells(tuple(labels), n, np.zeros_like(n))


def test_distances_by_hand() -> None:
    one, other = cells([29, 69]), cells([49, 49])  # with half a row a cell: 0.298, 0.702 and 0.5, 0.5
    p, q = np.array([29.5, 69.5]) / 99, np.array([0.5, 0.5])
    assert psi(one, other)[0] == pytest.approx(((p - q) * np.log(p / q)).sum())
    middle = (p + q) / 2
    expected = ((p * np.log2(p / middle)).sum() + (q * np.log2(q / middle)).sum()) / 2
    assert jensen_shannon(one, other)[0] == pytest.approx(expected)
    assert psi(one, one)[0] == 0


def test_jensen_shannon_of_columns_with_other_cells() -> None:
    apart = jensen_shannon(cells([1000, 1000], labels="ab"), cells([1000, 1000], labels="cd"))[0]
    assert apart == pytest.approx(1, abs=0.02)


def test_entropy_of_the_second_code_under_the_first() -> None:
    columns = {"served_prefix": cells([10, 10, 20, 0], labels=["0-0", "0-1", "1-0", "1-1"])}  # type: ignore[arg-type]
    assert value("prefix_entropy", columns)[0] == pytest.approx(0.5 * np.log(2))


def day(seed: int, rate: float, users: int = 400) -> pa.Table:
    """A day of slates and exposures; users differ in how much they like anything."""
    rng = np.random.default_rng(seed)
    user = rng.integers(users, size=4000)
    liking = np.random.default_rng(1).beta(2, 4, users)
    liked = rng.random(4000) < np.clip(liking[user] * rate * 3, 0, 1)
    tally = Tally()
    where = Places(np.zeros(4000, np.int64), user % BLOCKS)
    tally.add("effective_view", where, values=liked.astype(float))
    tally.add("source", where, np.zeros(4000, np.int64), ["higr"])
    tally.add("switched", where, values=np.zeros(4000))
    return tally.table()


SPEC = Spec("", "relative", 0.05, 0.15, "effective_view")


@pytest.mark.parametrize(
    "count", [28, 7, 1], ids=["many days", "a week: users drawn again", "one: users alone"]
)
def test_quiet_is_no_surprise_and_a_fall_is(count: int) -> None:
    reference = [day(seed, 0.33) for seed in range(count)]
    kinds = np.arange(count) % 7
    quiet = [
        Null(reference, day(100 + s, 0.33), kinds, 0).judge("effective_view", SPEC, 200) for s in range(5)
    ]
    assert all(found and found.p > 1e-4 for found in quiet)
    fallen = Null(reference, day(200, 0.24), kinds, 0).judge("effective_view", SPEC, 200)
    assert fallen
    assert fallen.p < 1e-5
    assert fallen.move < -0.15


def test_a_weekly_rhythm_is_expected_of_a_weekend() -> None:
    rates = [0.33 if d % 7 < 5 else 0.42 for d in range(28)]
    reference = [day(d, rate) for d, rate in enumerate(rates)]
    kinds = np.arange(28) % 7
    weekend = day(300, 0.42)
    as_weekend = Null(reference, weekend, kinds, 6).judge("effective_view", SPEC, 200)
    as_monday = Null(reference, weekend, kinds, 0).judge("effective_view", SPEC, 200)
    assert as_weekend
    assert as_monday
    assert as_weekend.p > 1e-3
    assert as_monday.p < 1e-5


def test_too_few_rows_are_no_evidence() -> None:
    reference = [day(d, 0.33) for d in range(7)]
    few = day(400, 0.1).slice(0, 1)
    found = Null(reference, few, np.zeros(7), 0).judge("effective_view", SPEC, 2000)
    assert found
    assert found.p == 1


def test_every_figure_of_a_full_day_has_a_spec_and_a_value() -> None:
    windows = Null([day(1, 0.3)], day(2, 0.3), np.zeros(1), 0).current
    for name, spec in specs(windows).items():
        assert spec.rows in windows
        assert spec.watch < spec.page
        if spec.measure != "distance":
            assert len(value(name, windows)) == 1


def test_schema_is_the_tallys() -> None:
    assert day(1, 0.3).schema == TALLY


def test_a_window_is_never_compared_with_itself() -> None:
    reference = [day(d, 0.33).slice(0, 1 + d) for d in range(6)]
    null = Null(reference, day(9, 0.33), np.zeros(6), 0)
    own = null.draws["effective_view"].rows()[:6]
    others = null.usual["effective_view"].rows()[:6]
    assert others == pytest.approx(own.sum() - own)
