"""Tensors in, instances out; and what a tensor can be instead of what is due."""

import importlib
import json
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.schemas import Item, Prediction, RequestError


@pytest.fixture(scope="module")
def v2() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys.argv[:1])  # kserve reads it
        return importlib.import_module("serving.v2")


def request_of(v2: ModuleType, *tensors: tuple[str, list[int], str, Any]) -> Any:
    inputs = [v2.InferInput(name, shape, datatype, data) for name, shape, datatype, data in tensors]
    return v2.InferRequest("higr", inputs, "id")


def test_tensors_are_instances(v2: ModuleType) -> None:
    asked = request_of(
        v2,
        ("user_id", [2], "BYTES", ["a", b"b"]),
        ("slate_size", [2, 1], "INT32", [3, 4]),
        ("surface", [2], "BYTES", ["home", "search"]),
    )
    assert v2.instances_of(asked) == [
        {"user_id": "a", "slate_size": 3, "surface": "home"},
        {"user_id": "b", "slate_size": 4, "surface": "search"},
    ]


def test_an_instance_of_v1_can_be_sent_whole(v2: ModuleType) -> None:
    instance = {"user_id": "a", "constraints": {"exclude_items": ["é"]}}
    asked = request_of(v2, ("instance", [1], "BYTES", [json.dumps(instance)]))
    assert v2.instances_of(asked) == [instance]


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ([], "no tensor user_id"),
        ([("slate_size", [1], "INT64", [3])], "no tensor user_id"),
        ([("users", [1], "BYTES", ["a"])], "no tensor 'users'"),
        ([("user_id", [1], "BYTES", ["a"])] * 2, "user_id is there twice"),
        ([("user_id", [1], "FP32", [1.0])], "datatype 'FP32'; BYTES is due"),
        ([("user_id", [1, 2], "BYTES", ["a", "b"])], r"shape \[1, 2\]"),
        ([("user_id", [0], "BYTES", [])], r"shape \[0\]"),
        ([("user_id", [3], "BYTES", ["a"])], "not 3 elements of BYTES"),
        ([("user_id", [2], "BYTES", ["a", "b"]), ("slate_size", [1], "INT8", [3])], "1 elements for 2"),
        ([("user_id", [1], "BYTES", ["a"]), ("slate_size", [1], "INT32", ["x"])], "not 1 elements of INT32"),
        (
            [("user_id", [1], "BYTES", ["a"]), ("slate_size", [1], "INTEGER", [3])],
            "not 1 elements of INTEGER",
        ),
        ([("instance", [1], "BYTES", ["{"])], r"inputs.instance\[0\]: not JSON"),
        ([("instance", [1], "BYTES", [b"\xff"])], "not 1 elements of BYTES"),
        ([("instance", [1], "BYTES", ["{}"]), ("user_id", [1], "BYTES", ["a"])], "instance says all"),
    ],
)
def test_what_no_instance_is_made_of(v2: ModuleType, tensors: Any, problem: str) -> None:
    with pytest.raises(RequestError, match=problem):
        v2.instances_of(request_of(v2, *tensors))


JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=4)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["user_id", "slate_size", "surface", "request_id", "instance", "x"]),
            st.lists(st.integers(-1, 4), max_size=3),
            st.sampled_from(["BYTES", "INT32", "INT64", "FP32", "BOOL", "UINT8", "INT", "?"]),
            st.lists(JUNK | st.lists(JUNK, max_size=2), max_size=4),
        ),
        max_size=4,
    )
)
def test_any_tensors_are_instances_or_a_named_problem(v2: ModuleType, tensors: Any) -> None:
    with suppress(RequestError):
        assert v2.instances_of(request_of(v2, *tensors))


def test_slates_are_tensors_padded_to_the_longest(v2: ModuleType) -> None:
    def prediction(user: str, items: list[str], **fields: Any) -> Prediction:
        shown = [
            Item(
                item_id=item,
                position=place + 1,
                score=-float(place),
                semantic_id=[1],
                title=None,
                category=None,
                duration_seconds=None,
                disclosure="Ad" if item == "s" else None,
            )
            for place, item in enumerate(items)
        ]
        usual = {"request_id": f"r-{user}", "user_id": user, "source": "higr", "fallback_reason": None}
        return Prediction(**{**usual, "items": shown, "degraded": False, "model_version": "v", **fields})

    answer = v2.response_of(
        "higr",
        None,
        [
            prediction("a", ["x", "s"]),
            prediction("b", [], source="popular", fallback_reason="deadline", degraded=True),
        ],
    )
    found = {output.name: output.as_numpy() for output in answer.outputs}
    assert answer.id
    assert found["item_ids"].tolist() == [["x", "s"], ["", ""]]
    assert found["disclosures"].tolist() == [["", "Ad"], ["", ""]]
    np.testing.assert_array_equal(found["scores"], [[0.0, -1.0], [0.0, 0.0]])
    assert found["lengths"].tolist() == [2, 0]
    assert found["source"].tolist() == ["higr", "popular"]
    assert found["fallback_reason"].tolist() == ["", "deadline"]
    assert found["degraded"].tolist() == [False, True]
