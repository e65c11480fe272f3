"""Collision policy `reassign`: every item ends with a semantic ID of its own.

Of the items that share a semantic ID the best-fitting keeps it (least squared distance of its
latent to the sum of codewords; ties by item id). Each of the others moves, best-fitting first, to
the nearest free last-level codeword under the same prefix. Where the prefix is full, the search
goes up one level and down again through the nearest codeword that still has room below it. Items
that collide with nobody never move, and no moved item takes an ID that any item had at first. The
outcome does not depend on the order of rows. The paper does not say how it handles collisions.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from higr.errors import InputError


@dataclass(frozen=True)
class CollisionReport:
    """What the policy did.

    Attributes:
        items: N.
        colliding: items that shared their semantic ID with another.
        largest: items of the most shared semantic ID; 1 where none is shared.
        moved: items with a new semantic ID.
        left_prefix: moved items whose first D - 1 codes changed, too.
        error_before, error_after: mean squared distance of latents to their codewords' sum, over
            the moved items; 0 where none moved.
    """

    items: int
    colliding: int
    largest: int
    moved: int
    left_prefix: int
    error_before: float
    error_after: float

    def to_json(self) -> dict[str, Any]:
        """All fields, ready for `json.dumps`."""
        return asdict(self)


def reassign(
    item_ids: tuple[str, ...], codes: np.ndarray, latents: np.ndarray, codebooks: np.ndarray
) -> tuple[np.ndarray, CollisionReport]:
    """Distinct codes (N, D) int32, and what was done.

    codes: (N, D). latents: (N, C). codebooks: (D, K, C).

    Raises:
        InputError: more items than K^D semantic IDs.
    """
    depth, size, _ = codebooks.shape
    if len(codes) > size**depth:
        raise InputError(
            f"{len(codes)} items do not fit into {size**depth} semantic IDs; raise codebook_size or depth"
        )
    books = codebooks.astype(np.float64)
    errors = _errors(codes, latents, books)
    _, group, shared = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    group = group.ravel()
    moving = _losers(group, errors, item_ids)
    taken = _taken(np.unique(codes, axis=0))
    out = codes.astype(np.int32)
    for row in moving:
        code = _nearest_free(codes[row], latents[row].astype(np.float64), books, taken)
        taken.update(code[:level] for level in range(depth + 1))
        out[row] = code
    after = _errors(out[moving], latents[moving], books)
    return out, CollisionReport(
        items=len(codes),
        colliding=int(shared[shared > 1].sum()),
        largest=int(shared.max()),
        moved=len(moving),
        left_prefix=int((out[moving, :-1] != codes[moving, :-1]).any(axis=1).sum()),
        error_before=float(errors[moving].mean()) if len(moving) else 0.0,
        error_after=float(after.mean()) if len(moving) else 0.0,
    )


def _errors(codes: np.ndarray, latents: np.ndarray, books: np.ndarray) -> np.ndarray:
    quantised = sum(books[level][codes[:, level]] for level in range(len(books)))
    return np.asarray(((latents - quantised) ** 2).sum(axis=1), dtype=np.float64)


def _losers(group: np.ndarray, errors: np.ndarray, item_ids: tuple[str, ...]) -> np.ndarray:
    """Rows that must move, best-fitting first: all but the first of each group."""
    order = np.lexsort((np.asarray(item_ids), errors))
    _, first = np.unique(group[order], return_index=True)
    keeps = np.zeros(len(order), dtype=bool)
    keeps[first] = True
    return order[~keeps]


def _taken(codes: np.ndarray) -> Counter[tuple[int, ...]]:
    """Semantic IDs in use under every prefix, the empty one and full ones included."""
    taken: Counter[tuple[int, ...]] = Counter()
    for code in codes.tolist():
        taken.update(tuple(code[:level]) for level in range(len(code) + 1))
    return taken


def _nearest_free(
    code: np.ndarray, latent: np.ndarray, books: np.ndarray, taken: Counter[tuple[int, ...]]
) -> tuple[int, ...]:
    """The free semantic ID that shares the longest prefix with `code`, nearest codewords first."""
    depth, size, _ = books.shape
    own = tuple(int(c) for c in code)
    start = next(level for level in range(depth - 1, -1, -1) if taken[own[:level]] < size ** (depth - level))
    prefix = own[:start]
    residual = latent - sum((books[level, c] for level, c in enumerate(prefix)), np.zeros_like(latent))
    while len(prefix) < depth:
        level = len(prefix)
        distance = ((residual - books[level]) ** 2).sum(axis=1)
        room = size ** (depth - level - 1)
        chosen = next(int(c) for c in np.argsort(distance, kind="stable") if taken[(*prefix, int(c))] < room)
        residual = residual - books[level, chosen]
        prefix = (*prefix, chosen)
    return prefix
