"""How the time of a slate grows with each size, all others as in the main table; what constraints cost.

HiGR's engine is the fastest of the device, and OneRec-style flat decoding runs on the same one, in turns.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch

from benchmarks.decoding_clock import in_turns
from benchmarks.decoding_systems import PROFILES, Name, Subject, System, build
from benchmarks.decoding_world import Shape, random_catalog, random_users
from benchmarks.prefix_tree import model_steps, timed_slate
from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.decode.recommender import HiGRRecommender
from higr.model.inputs import encode_contexts
from higr.slate import UserContext

BOTH: tuple[Name, ...] = ("higr_kv", "onerec_kv")
Cell = dict[str, Any]


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

    @torch.inference_mode()
    def constraint_cost(self) -> Cell:
        """Time of a slate that goes to prefix tree and exclusions: the clock of `benchmarks.prefix_tree`.

        The slate there is of ten items, by the loop of the reference engine around this engine's blocks.
        """
        users = self._users(self.calls + 1)
        system = self._system("higr_kv")
        model = cast(HiGRRecommender, system.recommender).model
        figures = []
        for user in users:
            batch = encode_contexts([user], self.catalog, PROFILES, self.config)
            seen = [[self.catalog.position[item] for item in user.item_ids]]
            started = time.perf_counter()
            tree, mask, _ = timed_slate(self.catalog.tree, seen, model_steps(model, self.catalog, batch))
            figures.append((tree, mask, time.perf_counter() - started))
        tree, mask, whole = np.median(figures[1:], axis=0).tolist()
        return {
            "items": self.shape.items,
            "engine": self.engine,
            "tree_ms": tree * 1e3,
            "mask_ms": mask * 1e3,
            "slate_ms": whole * 1e3,
            "share": tree / whole,
            "mask_share": mask / whole,
        }

    def _users(self, count: int) -> list[UserContext]:
        return random_users(self.shape, self.catalog, count, self.seed)

    def _system(self, name: Name) -> System:
        subject = Subject(name, self.engine, self.config)
        return build(subject, self.shape, self.catalog, self.seed)
