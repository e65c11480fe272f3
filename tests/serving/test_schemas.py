import json
from typing import Any

import pytest

from serving.schemas import (
    MAX_DISABLED,
    MAX_EXCLUDED,
    MAX_HISTORY,
    MAX_INSTANCES,
    MAX_STORED_HISTORY,
    MAX_STORED_PROFILE,
    PredictorRequest,
    PredictRequest,
    RequestError,
    parse,
)


def instance(**fields: Any) -> dict[str, Any]:
    return {"instances": [{"user_id": "u", **fields}]}


BAD: list[tuple[Any, str, str]] = [
    # body, path in the answer, metric label
    (b"{", "body", "body"),
    (b"", "body", "body"),
    (b"\xff\xfe", "body", "body"),
    (b"[]", "body", "body"),
    (b'"text"', "body", "body"),
    (None, "body", "body"),
    ([1], "body", "body"),
    ({}, "instances", "instances"),
    ({"instances": 5}, "instances", "instances"),
    ({"instances": []}, "instances", "instances"),
    ({"instances": ["u"]}, "instances[0]", "instances"),
    ({"instances": [{}]}, "instances[0].user_id", "user_id"),
    ({"instances": [{"user_id": "u"}] * (MAX_INSTANCES + 1)}, "instances", "instances"),
    ({"instances": [{"user_id": "u"}], "more": 1}, "more", "body"),
    (instance(user_id=""), "instances[0].user_id", "user_id"),
    (instance(user_id=7), "instances[0].user_id", "user_id"),
    (instance(user_id=None), "instances[0].user_id", "user_id"),
    (instance(user_id="u" * 129), "instances[0].user_id", "user_id"),
    (instance(slate_size=0), "instances[0].slate_size", "slate_size"),
    (instance(slate_size=51), "instances[0].slate_size", "slate_size"),
    (instance(slate_size="5"), "instances[0].slate_size", "slate_size"),
    (instance(slate_size=2.5), "instances[0].slate_size", "slate_size"),
    (instance(slate_size=True), "instances[0].slate_size", "slate_size"),
    (instance(request_id=""), "instances[0].request_id", "request_id"),
    (instance(slatesize=5), "instances[0].slatesize", "instances"),
    (instance(context=[]), "instances[0].context", "context"),
    (instance(context={"item_ids": ["a"]}), "instances[0].context", "context"),
    (instance(context={"item_ids": "a", "feedback": []}), "instances[0].context.item_ids", "item_ids"),
    (instance(context={"item_ids": ["a"], "feedback": [4]}), "instances[0].context.feedback[0]", "feedback"),
    (
        instance(context={"item_ids": ["a"], "feedback": ["2"]}),
        "instances[0].context.feedback[0]",
        "feedback",
    ),
    (
        instance(context={"item_ids": ["a"] * (MAX_HISTORY + 1), "feedback": [2] * (MAX_HISTORY + 1)}),
        "instances[0].context.item_ids",
        "item_ids",
    ),
    (instance(context={"profile": {"age": 5}}), "instances[0].context.profile.age", "profile"),
    (
        instance(context={"profile": {str(n): "" for n in range(65)}}),
        "instances[0].context.profile",
        "profile",
    ),
    (instance(constraints={"exclude": ["a"]}), "instances[0].constraints.exclude", "constraints"),
    (
        instance(constraints={"exclude_items": ["a"] * (MAX_EXCLUDED + 1)}),
        "instances[0].constraints.exclude_items",
        "exclude_items",
    ),
    (
        instance(constraints={"exclude_items": [None]}),
        "instances[0].constraints.exclude_items[0]",
        "exclude_items",
    ),
    (instance(constraints={"exclude_seen": "no"}), "instances[0].constraints.exclude_seen", "exclude_seen"),
]


@pytest.mark.parametrize(("body", "path", "field"), BAD)
def test_each_bad_body_is_refused_naming_the_field(body: Any, path: str, field: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse(PredictRequest, body)
    assert (refused.value.path, refused.value.field) == (path, field)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "path", "label"),
    [
        ({"slate_size": 0}, "slate_size", "slate_size"),
        (
            {
                "context": {
                    "item_ids": ["a"] * (MAX_STORED_HISTORY + 1),
                    "feedback": [2] * (MAX_STORED_HISTORY + 1),
                }
            },
            "context.item_ids",
            "item_ids",
        ),
        (
            {"context": {"profile": {str(n): "" for n in range(MAX_STORED_PROFILE + 1)}}},
            "context.profile",
            "profile",
        ),
        (
            {"exclude_items": ["a"] * (MAX_EXCLUDED + MAX_STORED_HISTORY + MAX_DISABLED + 1)},
            "exclude_items",
            "exclude_items",
        ),
    ],
)
def test_the_predictors_lists_are_bounded_too(fields: dict[str, Any], path: str, label: str) -> None:
    body = {"slate_size": 5, "context": {}, "exclude_items": [], **fields}
    with pytest.raises(RequestError) as refused:
        parse(PredictorRequest, instance(**body))
    assert (refused.value.path, refused.value.field) == (f"instances[0].{path}", label)


def test_the_longest_stored_context_and_a_clients_exclusions_pass_together() -> None:
    body = {
        "slate_size": 5,
        "context": {"item_ids": ["a"] * MAX_STORED_HISTORY, "feedback": [2] * MAX_STORED_HISTORY},
        "exclude_items": ["a"] * (MAX_EXCLUDED + MAX_STORED_HISTORY),
    }
    parse(PredictorRequest, instance(**body))


def test_unaligned_context_says_what_to_do() -> None:
    with pytest.raises(RequestError, match=r"context: 1 item_ids, 0 feedback levels; give one level an item"):
        parse(PredictRequest, instance(context={"item_ids": ["a"]}))


def test_a_long_made_up_name_is_cut_and_never_a_label() -> None:
    with pytest.raises(RequestError) as refused:
        parse(PredictRequest, instance(**{"x" * 5000: 1}))
    assert len(refused.value.path) < 100
    assert refused.value.field == "instances"


def test_bytes_are_read_as_json_whatever_the_content_type_was() -> None:
    body = instance(slate_size=3, context={"item_ids": ["a"], "feedback": [2], "profile": {"age": "18"}})
    assert parse(PredictRequest, json.dumps(body).encode()) == parse(PredictRequest, body)


def test_defaults() -> None:
    (made,) = parse(PredictRequest, instance()).instances
    assert (made.slate_size, made.context, made.request_id) == (None, None, None)
    assert (made.constraints.exclude_items, made.constraints.exclude_seen) == ([], True)
