"""What is asked of every decoder: a random catalogue, users with full histories, slates to judge."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.prefix_tree import Case, random_codes
from higr.catalog import Catalog
from higr.slate import Slate, UserContext


@dataclass(frozen=True)
class Shape:
    """Attributes:
    items: N.
    codebook_size: K.
    depth: D.
    slate: M.
    beam: W.
    history: H, events of each user; none of their items may be recommended.
    """

    items: int = 100_000
    codebook_size: int = 256
    depth: int = 3
    slate: int = 10
    beam: int = 10
    history: int = 50


def random_catalog(shape: Shape, seed: int) -> Catalog:
    """N items of distinct uniform random codes."""
    codes = random_codes(Case(shape.items, shape.codebook_size, shape.depth), seed)
    return Catalog(tuple(f"item-{n}" for n in range(shape.items)), codes, shape.codebook_size)


def random_users(shape: Shape, catalog: Catalog, count: int, seed: int) -> list[UserContext]:
    """Users whose last H items are distinct: what a decode costs does not depend on which they are."""
    rng = np.random.default_rng(seed)
    users = []
    for user in range(count):
        history = rng.choice(len(catalog), shape.history, replace=False)
        levels = rng.integers(1, 4, shape.history)
        users.append(
            UserContext(f"user-{user}", tuple(catalog.item_ids[p] for p in history), tuple(levels.tolist()))
        )
    return users


def valid(slate: Slate, size: int, catalog: Catalog, user: UserContext) -> bool:
    """Whether it is `size` distinct items of the catalogue and none of the user's history."""
    items = set(slate.item_ids)
    known = all(item in catalog.position for item in items)
    return len(slate.item_ids) == len(items) == size and known and items.isdisjoint(user.item_ids)


def valid_share(slates: Sequence[Slate], size: int, catalog: Catalog, users: Sequence[UserContext]) -> float:
    """Of one slate a user."""
    return sum(valid(slate, size, catalog, user) for slate, user in zip(slates, users, strict=True)) / len(
        slates
    )
