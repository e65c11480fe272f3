"""Run: pytest tests/decode/test_context_cache.py"""

from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.decode.context_cache import ContextCache
from higr.errors import InputError
from higr.model.higr import Context
from higr.slate import UserContext


def user(name: str, *items: str) -> UserContext:
    return UserContext(name, items, (2,) * len(items))


def encoder(users: list[UserContext], calls: list[list[str]]) -> object:
    """Every tensor of a context says whose it is; 96 bytes each."""

    def encode(rows: list[int]) -> Context:
        calls.append([users[row].user_id for row in rows])
        marks = torch.tensor([float(hash((users[row].user_id, users[row].item_ids)) % 1000) for row in rows])
        pair = marks[:, None, None].expand(-1, 2, 2).contiguous(), -marks[:, None].expand(-1, 4).contiguous()
        return Context(marks[:, None].expand(-1, 8).contiguous(), [pair], [[pair]])

    return encode


def ask(cache: ContextCache, users: list[UserContext], calls: list[list[str]]) -> Context:
    return cache.encoded(users, encoder(users, calls))  # type: ignore[arg-type]


def same(left: Context, right: Context) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left._tensors(), right._tensors(), strict=True))


def test_a_known_context_is_not_encoded_again() -> None:
    cache, calls = ContextCache(10_000), []  # type: ignore[var-annotated]
    first = ask(cache, [user("a", "x")], calls)
    again = ask(cache, [user("a", "x")], calls)
    assert same(first, again)
    assert calls == [["a"]]
    assert (cache.hits, cache.misses, len(cache), cache.nbytes) == (1, 1, 1, first.nbytes)


def test_another_history_is_another_context() -> None:
    cache, calls = ContextCache(10_000), []  # type: ignore[var-annotated]
    ask(cache, [user("a", "x")], calls)
    ask(cache, [user("a", "x", "y")], calls)
    ask(cache, [UserContext("a", ("x",), (2,), {"age": "old"})], calls)
    assert len(calls) == 3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5), max_size=12), st.integers(0, 4))
def test_batches_are_those_of_no_cache_and_the_last_used_stay(batches: list[list[str]], room: int) -> None:
    size = ask(ContextCache(0), [user("a")], []).nbytes
    cache, kept = ContextCache(room * size), OrderedDict[str, None]()
    for names in batches:
        users, calls = [user(name) for name in names], list[list[str]]()
        made = ask(cache, users, calls)
        assert same(made, ask(ContextCache(0), users, []))
        once = [name for name in dict.fromkeys(names) if name not in kept] if room else names
        assert [one for call in calls for one in call] == once
        for name in names:
            if name in kept:
                kept.move_to_end(name)
        kept.update((name, None) for name in dict.fromkeys(names) if name not in kept)
        while len(kept) > room:
            kept.popitem(last=False)
        assert cache.nbytes == len(kept) * size <= cache.max_bytes


def test_what_is_kept_does_not_hold_its_batch() -> None:
    cache = ContextCache(10_000)
    ask(cache, [user("a"), user("b")], [])
    for context in cache._kept.values():
        assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in context._tensors())


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InputError, match="-1 bytes"):
        ContextCache(-1)
