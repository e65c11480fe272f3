"""Run: pytest tests/training"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.config import TrainingConfig
from higr.data.schemas import Feedback
from higr.training import exposures as module
from higr.training.exposures import PADDING, cut, exposures, to_front
from higr.training.targets import build_targets
from tests.training.test_targets import CATALOG, slates

SHOWN = st.lists(
    st.tuples(st.sampled_from("abcdexy"), st.integers(0, 3), st.sampled_from([0.0, 0.1, 0.5, 2.5])),
    max_size=8,
)
Shown = list[tuple[str, int, float]]


def target(shown: Shown, config: TrainingConfig) -> list[int] | None:
    """One slate's target by the definition; "x" and "y" are not in the catalogue."""
    known = [(CATALOG.position[item], level, s) for item, level, s in shown if item in CATALOG.position]
    engaged = [each for each in known if each[1] >= Feedback.ENGAGED]
    if len(engaged) < config.min_engaged:
        return None
    order = sorted(engaged, key=lambda each: -each[2])
    if config.pad_with_exposed:
        order += [each for each in known if each[1] == Feedback.EXPOSED]
    items = [each[0] for each in order[: config.target_size]]
    return items + [PADDING] * (config.target_size - len(items))


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(SHOWN, max_size=6),
    config=st.builds(
        TrainingConfig,
        min_engaged=st.integers(1, 3),
        pad_with_exposed=st.booleans(),
        target_size=st.integers(1, 9),
    ),
    cells=st.integers(1, 300),
)
def test_targets_are_those_of_the_definition_however_slates_are_cut_into_chunks(
    rows: list[Shown], config: TrainingConfig, cells: int
) -> None:
    table = slates(*(tuple(map(list, zip(*row, strict=True))) if row else ([], [], []) for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CELLS", cells)
        found = build_targets(table, CATALOG, config)
    expected = [(row, target(shown, config)) for row, shown in enumerate(rows)]
    assert found.rows.tolist() == [row for row, items in expected if items is not None]
    assert found.items.tolist() == [items for _, items in expected if items is not None]


def test_a_chunk_is_a_rectangle_with_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CELLS", 18)  # two slates of three
    table = slates((["e"], [2], [1.0]), (["gone", "b", "a"], [2, 1, 3], [1, 0, 2]), (["c"], [0], [0]))
    first, second = exposures(table.slice(0), CATALOG)
    assert first.items.tolist() == [[4, PADDING, PADDING], [PADDING, 1, 0]]
    assert first.feedback.tolist() == [[2, 0, 0], [2, 1, 3]]
    assert first.strength[1].tolist() == [1, 0, 2]
    assert (first.rows.tolist(), second.rows.tolist(), second.items.tolist()) == ([0, 1], [2], [[2]])
    (part,) = exposures(table.slice(1, 1), CATALOG)
    assert part.items.tolist() == [[PADDING, 1, 0]]


def test_kept_items_go_to_the_front_by_their_keys() -> None:
    items, kept = np.array([[7, 8, 9, 5]]), np.array([[True, False, True, True]])
    assert to_front(items, kept).tolist() == [[7, 9, 5, PADDING]]
    assert to_front(items, kept, np.array([[1, 0, 0, 1]]), np.array([[3, 0, 0, 2]])).tolist() == [
        [9, 5, 7, PADDING]
    ]
    assert cut(items, 2).tolist() == [[7, 8]]
    assert cut(items, 6).tolist() == [[7, 8, 9, 5, PADDING, PADDING]]
