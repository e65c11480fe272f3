"""Run: pytest tests/model/test_inputs.py"""

import numpy as np
import pytest

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.model.inputs import PADDING, ProfileVocabulary, encode_contexts
from higr.slate import UserContext

CATALOG = Catalog.build(["a", "b", "c", "d"], np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), 2)


@pytest.mark.parametrize(
    ("history", "expected_items", "expected_feedback"),
    [
        ("all", [PADDING, 0, 1, 3], [0, 1, 2, 3]),
        ("engaged", [PADDING, PADDING, 1, 3], [0, 0, 2, 3]),
    ],
)
def test_history_is_right_aligned_and_filtered(
    history: str, expected_items: list[int], expected_feedback: list[int]
) -> None:
    config = ModelConfig(history_length=4, history=history)
    context = UserContext("u", ("a", "gone", "b", "d"), (1, 3, 2, 3))
    batch = encode_contexts([context], CATALOG, ProfileVocabulary({}), config)
    assert batch.items.tolist() == [expected_items]
    assert batch.feedback.tolist() == [expected_feedback]


def test_only_the_newest_events_are_kept() -> None:
    context = UserContext("u", ("a", "b", "c", "d"), (2, 2, 2, 2))
    batch = encode_contexts([context], CATALOG, ProfileVocabulary({}), ModelConfig(history_length=2))
    assert batch.items.tolist() == [[2, 3]]


def test_profile_values_share_one_table_and_unknown_ones_an_index_a_field() -> None:
    vocabulary = ProfileVocabulary.fit(
        [{"age": "old", "city": "A"}] * 3 + [{"age": "young", "city": "B"}] * 2 + [{"age": "odd"}],
        min_count=2,
    )
    assert vocabulary.fields == {"age": ("old", "young"), "city": ("A", "B")}
    assert vocabulary.size == 6
    assert vocabulary.encode(UserContext("u", profile={"age": "young", "city": "A"})) == [2, 4]
    assert vocabulary.encode(UserContext("u", profile={"age": "odd", "planet": "Mars"})) == [0, 3]


def test_situations_are_fields_of_their_own() -> None:
    vocabulary = ProfileVocabulary.fit(
        [{"hour": "of the user"}] * 2, [{"hour": "07"}] * 3 + [{"hour": "08"}], min_count=2
    )
    assert vocabulary.fields == {"hour": ("of the user",), "request: hour": ("07",)}
    context = UserContext("u", profile={"hour": "of the user"}, situation={"hour": "07"})
    assert vocabulary.encode(context) == [1, 3]
    assert vocabulary.encode(UserContext("u", situation={"hour": "09"})) == [0, 2]


def test_feedback_and_items_must_be_equally_many() -> None:
    with pytest.raises(ValueError, match="2 items but 1 feedback levels"):
        UserContext("u", ("a", "b"), (1,))
