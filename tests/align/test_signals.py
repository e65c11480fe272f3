"""Run: pytest tests/align"""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import rankdata

from higr.align.signals import Signals, scaled_ranks
from higr.catalog import Catalog
from higr.config import PreferenceConfig, SignalConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.training.exposures import PADDING
from tests.align.worlds import START, events_table, items_table, slate_table

CATALOG = Catalog.build(["a", "b", "c", "d"], np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), 2)
SLATES = slate_table([(["a"], [2], [1.0]), (["b"], [2], [1.0])], days=[0, 7])
A, B, C, D = range(4)
EVERY = np.array([[A, B, C, D], [A, B, C, PADDING]])
ROWS = np.array([0, 1])


def data(items: list[dict], shown: list[str]) -> PreparedData:
    report = {"validation_start": (START + timedelta(days=1)).isoformat()}
    users = pa.table({"user_id": ["u"]})
    return PreparedData(events_table(shown), items_table(items), users, SLATES, pa.table({}), report)


def policy(kind: str, **changes: float) -> PreferenceConfig:
    return PreferenceConfig(signals=(SignalConfig(kind=kind, strength=1.0, **changes),))


def signal(kind: str, items: list[dict], shown: list[str] = ["a"], **changes: float) -> Signals:  # noqa: B006
    rows = [{"item_id": item} for item in "abcd"]
    given = {row["item_id"]: row for row in items}
    full = [given.get(row["item_id"], row) for row in rows]
    return Signals.build(data(full, shown), SLATES, CATALOG, policy(kind, **changes))


def test_freshness_halves_every_half_life_and_is_none_without_a_date() -> None:
    made = {"a": 0, "b": -3.5, "c": 7}  # days after the first slate; "c" is made with the second
    items = [{"item_id": item, "created_at": START + timedelta(days=day)} for item, day in made.items()]
    found = signal("freshness", items, half_life_days=3.5)
    np.testing.assert_allclose(
        found.values("freshness", ROWS, EVERY), [[1, 0.5, 1, 0], [0.25, 0.125, 1, 0]], rtol=1e-12
    )


def test_creators_shown_least_have_the_most_and_items_without_one_none() -> None:
    items = [{"item_id": item, "creator_id": who} for item, who in zip("abc", "xxy", strict=True)]
    found = signal("creator_exposure", items, ["a", "b", "c", "d", "d"])  # x twice, y once
    assert found.values("creator_exposure", ROWS, EVERY).tolist() == [[0, 0, 1, 0], [0, 0, 1, 0]]
    items.append({"item_id": "d", "creator_id": "z"})
    found = signal("creator_exposure", items, ["a", "b", "b", "c"])  # x three times, y once, z never
    assert found.values("creator_exposure", ROWS[:1], EVERY[:1]).tolist() == [[0, 0, 0.5, 1]]


def test_value_is_a_rank_among_items_that_have_one() -> None:
    items = [{"item_id": item, "value": value} for item, value in (("a", 900.0), ("b", -1.0), ("d", 3.0))]
    assert signal("value", items).values("value", ROWS, EVERY).tolist() == [[1, 0, 0, 0.5], [1, 0, 0, 0]]


@pytest.mark.parametrize("values", [[3.0], [2, 2, 2], [1, 2, 2, 5], [0, 0, 0, 1, 7, 7]])
def test_ranks_are_those_of_scipy_from_0_to_1(values: list[float]) -> None:
    ranks = rankdata(values) - rankdata(values).min()
    np.testing.assert_allclose(scaled_ranks(np.array(values)), ranks / max(ranks.max(), 1e-9))


@pytest.mark.parametrize(
    ("kind", "column"),
    [("freshness", "created_at"), ("creator_exposure", "creator_id"), ("value", "value")],
)
def test_a_signal_without_any_data_is_refused(kind: str, column: str) -> None:
    message = rf"items\.{column} is null for all 4 items.*align\.preference\.signals names {kind}; supply"
    with pytest.raises(InputError, match=message):
        signal(kind, [])


def test_exposure_of_creators_needs_a_training_period() -> None:
    with pytest.raises(InputError, match=r"none in the training period.*creator_exposure"):
        signal("creator_exposure", [{"item_id": "a", "creator_id": "x"}], [])


def test_an_item_that_the_table_lacks_has_no_signal() -> None:
    prepared = data([{"item_id": "b", "value": 1.0}, {"item_id": "c", "value": 2.0}], ["b"])
    found = Signals.build(prepared, SLATES, CATALOG, policy("value"))
    assert found.levels["value"].tolist() == [0, 0, 1, 0]
