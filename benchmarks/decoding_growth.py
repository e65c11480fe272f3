"""How the time of a slate grows with each size, all others as in the main table; what constraints cost.

HiGR's engine is the fastest of the device, and OneRec-style flat decoding runs on the same one, in turns.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from benchmarks.decoding_clock import in_turns
from benchmarks.decoding_systems import Name, Subject, System, build
from benchmarks.decoding_world import Shape, random_catalog, random_users
from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.decode.recommender import HiGRRecommender
from higr.decode.request import Constraints, SlateRequest
from higr.slate import UserContext

BOTH: tuple[Name, ...] = ("higr_kv", "onerec_kv")
Cell = dict[str, Any]

CATEGORIES = 50
ALLOWED = "a tenth"
CONSTRAINTS: dict[str, Callable[[UserContext], Constraints]] = {
    "exclusions": lambda user: Constraints(exclude=user.item_ids),
    "caps by prefix": lambda user: Constraints(exclude=user.item_ids, per_prefix={1: 2, 2: 1}),
    "caps by category": lambda user: Constraints(exclude=user.item_ids, per_category=2),
    "a set": lambda user: Constraints(exclude=user.item_ids, allow=ALLOWED),
}
"""Kind to what a user is refused; the history always."""


@dataclass(frozen=True)
class Growth:
    """Attributes:
    calls: slates, or batches, that count in each cell.
    """

    config: ModelConfig
    shape: Shape
    catalog: Catalog
    engine: str
    seed: int
    calls: int

    def tables(self, axes: Mapping[str, Sequence[Any]]) -> dict[str, list[Cell]]:
        """A table for each of `slate`, `beam`, `batch`, `items` and `params`, the last of `ModelConfig`s.

        Batches are HiGR's alone: flat decoding keeps keys and values of every beam of every row.
        """
        shape = self.shape
        longest = self.config.model_copy(
            update={"max_slate_size": max([self.config.max_slate_size, *axes["slate"]])}
        )
        return {
            "slate": [
                {"slate": m, **replace(self, config=longest, shape=replace(shape, slate=m)).cell()}
                for m in axes["slate"]
            ],
            "beam": [{"beam": w, **replace(self, shape=replace(shape, beam=w)).cell()} for w in axes["beam"]],
            "batch": [{"batch": b, **self.cell(b, ("higr_kv",))} for b in axes["batch"]],
            "items": [{"items": n, **self.of_items(n).cell()} for n in axes["items"]],
            "params": [replace(self, config=config).cell() for config in axes["params"]],
        }

    def of_items(self, items: int) -> "Growth":
        """With another catalogue."""
        if items == self.shape.items:
            return self
        shape = replace(self.shape, items=items)
        return replace(self, shape=shape, catalog=random_catalog(shape, self.seed))

    def cell(self, batch: int = 1, names: Sequence[Name] = BOTH) -> Cell:
        """p50 of a batch of each system, in milliseconds, with HiGR's parameters."""
        users = self._users(batch * (self.calls + 1))
        systems = [self._system(name) for name in names]
        times = in_turns(systems, self.shape, self.catalog, users, batch)
        out: Cell = {"params": systems[0].parameters}
        for name, taken in zip(names, times, strict=True):
            out |= {
                f"{name}_ms": taken.p50 * 1e3,
                f"{name}_slates_per_s": batch / taken.p50,
                f"{name}_valid_share": float(np.mean(taken.valid)),
            }
        return out

    def constraint_cost(self) -> Cell:
        """What each kind of constraint adds to a slate without any, both in turns; medians of `calls` users.

        Without any, the slate still stays in the tree and holds no item twice.
        """
        catalog, rng = self.catalog, np.random.default_rng(self.seed)
        categories = [f"c{kind}" for kind in rng.integers(0, CATEGORIES, len(catalog)).tolist()]
        model = cast(HiGRRecommender, self._system("higr_kv").recommender).model
        recommender = HiGRRecommender(model, catalog, self.shape.beam, categories=categories)
        some = rng.choice(len(catalog), len(catalog) // 10, replace=False).tolist()
        recommender.register(ALLOWED, [catalog.item_ids[position] for position in some])
        seconds: dict[str, list[float]] = {name: [] for name in ("none", *CONSTRAINTS)}
        for user in self._users(self.calls + 1):
            for name, taken in seconds.items():
                asked = CONSTRAINTS[name](user) if name in CONSTRAINTS else Constraints()
                request = SlateRequest(user, self.shape.slate, asked)
                started = time.perf_counter()
                recommender.decode([request])
                taken.append(time.perf_counter() - started)
        times = {name: np.array(taken[1:]) for name, taken in seconds.items()}
        cell: Cell = {"items": self.shape.items, "engine": self.engine}
        for name, taken in times.items():
            cell[name] = {
                "ms": float(np.median(taken)) * 1e3,
                "cost": float(np.median(taken / times["none"])) - 1,
            }
        return cell

    def _users(self, count: int) -> list[UserContext]:
        return random_users(self.shape, self.catalog, count, self.seed)

    def _system(self, name: Name) -> System:
        subject = Subject(name, self.engine, self.config)
        return build(subject, self.shape, self.catalog, self.seed)
