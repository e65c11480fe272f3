"""Where the milliseconds of a slate go on engine `cpu`: in its kernels, and between them.

Twice over the same users, in turns: with the search for an item in one call, and with every step of the
search in torch, as it was before there was that call. A clock around each kernel is part of what is between.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.decoding_systems import Subject, build
from benchmarks.decoding_world import Shape, random_users
from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.decode.engines.native import library
from higr.decode.recommender import HiGRRecommender
from higr.slate import UserContext

KERNELS = {
    "higr_encode": "context encoder",
    "higr_context": "keys and values of the context, laid out",
    "higr_linear": "keys and values of the context, and heads where the search is torch's",
    "higr_step": "planner, and the generator where the search is torch's",
    "higr_search": "search for an item: generator, heads, beams, tree",
}
BETWEEN = "between the kernels"


class _StepsOnly:
    """A model without a search of its own."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        if name == "search_item":
            raise AttributeError(name)
        return getattr(self._model, name)


def profile(config: ModelConfig, shape: Shape, catalog: Catalog, calls: int, seed: int) -> dict[str, Any]:
    """`parameters`, and `parts` in mean milliseconds: search in torch (`steps`), in one call (`search`)."""
    whole = build(Subject("higr_kv", "cpu", config), shape, catalog, seed)
    model = whole.recommender.model  # type: ignore[attr-defined]
    users = random_users(shape, catalog, calls + 1, seed + 1)
    subjects = {
        "steps": HiGRRecommender(_StepsOnly(model), catalog, shape.beam),
        "search": whole.recommender,
    }
    spent: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in subjects}
    for user in users:
        for name, recommender in subjects.items():
            for part, seconds in _timed(recommender, user, shape).items():
                spent[name][part].append(seconds)
    parts = [  # the first slate warms up
        {"part": part, **{name: 1000 * float(np.mean(spent[name][part][1:])) for name in subjects}}
        for part in (*KERNELS.values(), BETWEEN)
    ]
    return {"parameters": whole.parameters, "parts": parts}


def _timed(recommender: Any, user: UserContext, shape: Shape) -> dict[str, float]:
    with _clocked() as inside:
        started = time.perf_counter()
        recommender.recommend([user], shape.slate, [user.item_ids])
        elapsed = time.perf_counter() - started
    kernels = {part: inside.get(part, 0.0) for part in KERNELS.values()}
    return {**kernels, BETWEEN: elapsed - sum(inside.values())}


@contextmanager
def _clocked() -> Iterator[dict[str, float]]:
    """Seconds by part while it lasts."""
    loaded, inside = library(), defaultdict[str, float](float)
    kernels = {name: getattr(loaded, name) for name in KERNELS}

    def clocked(name: str) -> Any:
        def call(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = kernels[name](*arguments)
            inside[KERNELS[name]] += time.perf_counter() - started
            return result

        return call

    try:
        for name in kernels:
            setattr(loaded, name, clocked(name))
        yield inside
    finally:
        for name, kernel in kernels.items():
            setattr(loaded, name, kernel)
