"""Digests of contexts: equal where the model sees the same, on every machine."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from higr.data.logs import context_digest
from higr.slate import UserContext

CONTEXT = UserContext("u", ("a", "ü"), (2, 0), {"age": "18-24", "region": "DE"}, {"hour": "07"})


def test_the_digest_is_of_this_text_for_ever() -> None:
    text = "a\x1fü\x1e[2,0]\x1eage=18-24\x1fregion=DE\x1ehour=07"
    assert context_digest(CONTEXT) == hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"user_id": "v"}, True),
        ({"profile": {"region": "DE", "age": "18-24"}}, True),
        ({"item_ids": ("ü", "a")}, False),
        ({"feedback": (2, 1)}, False),
        ({"profile": {"age": "18-24"}}, False),
        ({"situation": {"hour": "08"}}, False),
        ({"item_ids": (), "feedback": ()}, False),
    ],
)
def test_what_changes_the_digest(change: dict[str, Any], same: bool) -> None:
    assert (context_digest(replace(CONTEXT, **change)) == context_digest(CONTEXT)) == same
