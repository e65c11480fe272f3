"""Several items, one semantic ID: what is done about it, as `tokenizer.collisions` says.

    reassign    the best-fitting item keeps the ID, each other one moves to the nearest free one
    extend      one more code tells them apart: 0 for the best-fitting item, 1, 2, ... for the next
    share       they keep it; decoding picks one by priority

Fit is the squared distance of an item's latent to the sum of its codewords; ties go by item id, so
that the outcome does not depend on the order of rows. IDs that a catalogue holds already are never
touched and never given twice. The paper does not say how it handles collisions.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.errors import InputError
from higr.tokenizer.reassign import pack, place

Policy = Literal["reassign", "extend", "share"]
BLOCK = 1 << 16
"""Items whose errors are computed at once."""


@dataclass(frozen=True)
class CollisionReport:
    """What the policy did to the items it was given.

    Attributes:
        policy: which one.
        items: N.
        colliding: items whose semantic ID another item had too, or a catalogue held already.
        largest: items of the most shared semantic ID before the policy; 1 where none is shared.
        moved: `reassign`: items with a new semantic ID.
        left_prefix: `reassign`: moved items whose first D - 1 codes changed, too.
        error_before, error_after: mean squared distance of latents to their codewords' sum, over
            the moved items; 0 where none moved.
        largest_extra: `extend`: largest value of the extra code.
        shared: `share`: items that share their semantic ID for good.
        largest_share: `share`: items of the most shared semantic ID, those of the catalogue
            included; 1 where none is shared.
    """

    policy: Policy
    items: int
    colliding: int
    largest: int
    moved: int = 0
    left_prefix: int = 0
    error_before: float = 0.0
    error_after: float = 0.0
    largest_extra: int = 0
    shared: int = 0
    largest_share: int = 1

    def to_json(self) -> dict[str, Any]:
        """All fields, ready for `json.dumps`."""
        return asdict(self)


def resolve(
    policy: Policy,
    item_ids: Sequence[str],
    codes: np.ndarray,
    latents: np.ndarray,
    codebooks: np.ndarray,
    held: np.ndarray | None = None,
) -> tuple[np.ndarray, CollisionReport]:
    """Codes after the policy, (N, D) int32, (N, D + 1) under `extend`; and what was done.

    Args:
        codes: (N, D), items may share a row.
        latents: (N, C).
        codebooks: (D, K, C).
        held: codes of a catalogue that was made under the same policy; they stay as they are.

    Raises:
        InputError: more items than semantic IDs, or, under `extend`, more than K of one ID.
    """
    depth, size, _ = codebooks.shape
    if held is None:
        held = np.empty((0, depth + (policy == "extend")), dtype=np.int32)
    crowd = _Crowd(item_ids, codes, latents, codebooks, pack(held[:, :depth], size))
    if policy == "reassign":
        return _reassign(crowd)
    return _extend(crowd, held[:, -1]) if policy == "extend" else _share(crowd)


class _Crowd:
    """Who shares a semantic ID with whom.

    Attributes:
        keys: (N,) int64, packed IDs.
        held: (E,) int64, packed IDs of the catalogue, its order.
        taken: the same ascending and distinct.
        rows: rows that share their ID, the best-fitting first.
        first: (N,) bool, best-fitting of their ID, which the catalogue does not hold.
    """

    def __init__(
        self,
        item_ids: Sequence[str],
        codes: np.ndarray,
        latents: np.ndarray,
        codebooks: np.ndarray,
        held: np.ndarray,
    ) -> None:
        self.codes, self.latents, self.books = codes, latents, codebooks.astype(np.float64)
        self.depth, self.size, _ = codebooks.shape
        self.keys, self.held = pack(codes, self.size), held
        self.distinct, group, counts = np.unique(self.keys, return_inverse=True, return_counts=True)
        self.taken = _ascending(held)
        there = _among(self.distinct, self.taken)
        self.largest = int(counts.max(initial=1))
        rows = np.flatnonzero(((counts > 1) | there)[group])
        names = pc.sort_indices(pa.array([item_ids[row] for row in rows.tolist()], pa.string()))
        by_name = np.empty(len(rows), dtype=np.int64)
        by_name[names.to_numpy()] = np.arange(len(rows))
        self.rows = rows[np.lexsort((by_name, self.errors(rows, self.codes[rows])))]
        self.first = np.ones(len(codes), dtype=bool)
        self.first[rows] = False
        leader = self.rows[np.unique(group[self.rows], return_index=True)[1]]
        self.first[leader[~there[group[leader]]]] = True

    def errors(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """(R,) float64 squared distances of the rows' latents to what `codes` (R, D) stand for."""
        out = np.empty(len(rows))
        for low in range(0, len(rows), BLOCK):
            part = slice(low, low + BLOCK)
            quantised = sum(self.books[level][codes[part, level]] for level in range(self.depth))
            out[part] = ((self.latents[rows[part]] - quantised) ** 2).sum(axis=1)
        return out

    def report(self, policy: Policy, **figures: Any) -> CollisionReport:
        return CollisionReport(policy, len(self.codes), len(self.rows), self.largest, **figures)


def _reassign(crowd: _Crowd) -> tuple[np.ndarray, CollisionReport]:
    capacity = crowd.size**crowd.depth
    if len(crowd.keys) + len(crowd.held) > capacity:
        raise InputError(
            f"{len(crowd.keys) + len(crowd.held)} items do not fit into {capacity} semantic IDs; raise "
            "tokenizer.codebook_size or depth, or set tokenizer.collisions to extend or share"
        )
    moving = crowd.rows[~crowd.first[crowd.rows]]
    out = crowd.codes.astype(np.int32)
    if not len(moving):
        return out, crowd.report("reassign")
    occupied = _ascending(np.concatenate((crowd.distinct, crowd.taken)))
    out[moving] = place(crowd.keys[moving], crowd.latents[moving], crowd.books, occupied)
    return out, crowd.report(
        "reassign",
        moved=len(moving),
        left_prefix=int((out[moving, :-1] != crowd.codes[moving, :-1]).any(axis=1).sum()),
        error_before=float(crowd.errors(moving, crowd.codes[moving]).mean()),
        error_after=float(crowd.errors(moving, out[moving]).mean()),
    )


def _extend(crowd: _Crowd, held_extra: np.ndarray) -> tuple[np.ndarray, CollisionReport]:
    extra = np.zeros(len(crowd.keys), dtype=np.int64)
    rows = crowd.rows[np.argsort(crowd.keys[crowd.rows], kind="stable")]  # by ID, then by fit
    keys = crowd.keys[rows]
    extra[rows] = _free_numbers(keys, crowd.held, held_extra)
    if len(extra) and extra.max() >= crowd.size:
        worst = int(extra.argmax())
        raise InputError(
            f"{int(extra[worst]) + 1} items share semantic ID {crowd.codes[worst].tolist()}, one extra code "
            f"tells {crowd.size} apart; give these items more content, raise tokenizer.codebook_size, or "
            "set tokenizer.collisions to reassign or share"
        )
    codes = np.column_stack([crowd.codes, extra]).astype(np.int32)
    return codes, crowd.report("extend", largest_extra=int(extra.max(initial=0)))


def _free_numbers(keys: np.ndarray, held: np.ndarray, held_extra: np.ndarray) -> np.ndarray:
    """For each of `keys` (ascending) the lowest number that neither `held` nor an earlier equal has."""
    nth = np.arange(len(keys)) - np.searchsorted(keys, keys)
    order = np.lexsort((held_extra, held))
    held, number = held[order], held_extra[order].astype(np.int64)
    gaps = number - (np.arange(len(held)) - np.searchsorted(held, held))  # free numbers below each held
    if not len(held):
        return nth
    # The n-th free number is n plus the held ones before it: those with at most n free ones below.
    width = int(max(gaps.max(), nth.max(initial=0))) + 1
    _, dense = np.unique(np.concatenate((held, keys)), return_inverse=True)  # products stay small
    ours, theirs = dense[len(held) :], dense[: len(held)]
    before = np.searchsorted(theirs * width + gaps, ours * width + nth, side="right")
    return nth + before - np.searchsorted(theirs, ours)


def _share(crowd: _Crowd) -> tuple[np.ndarray, CollisionReport]:
    theirs = crowd.held[_among(crowd.held, crowd.distinct)]
    together = np.concatenate((crowd.keys[crowd.rows], theirs))
    counts = np.unique(together, return_counts=True)[1]
    return crowd.codes.astype(np.int32), crowd.report(
        "share", shared=len(crowd.rows), largest_share=int(counts.max(initial=1))
    )


def _ascending(keys: np.ndarray) -> np.ndarray:
    """Distinct keys in order. A stable sort, as most of them are in order already."""
    keys = np.sort(keys, kind="stable")
    return keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys


def _among(keys: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """(N,) bool, which keys are in `ascending`."""
    if not len(ascending):
        return np.zeros(len(keys), dtype=bool)
    return ascending[np.minimum(np.searchsorted(ascending, keys), len(ascending) - 1)] == keys
