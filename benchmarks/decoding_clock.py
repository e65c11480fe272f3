"""Clocks: systems in turns on one thread, and worker processes side by side."""

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np
import torch

from benchmarks.decoding_limit import limit_seconds
from benchmarks.decoding_systems import Subject, System, build
from benchmarks.decoding_world import Shape, random_catalog, random_users, valid
from higr.catalog import Catalog
from higr.slate import UserContext

BARRIER_SECONDS = 300
"""That a process waits for one that has failed."""


@dataclass
class Times:
    """Of one system and batch size.

    Attributes:
        seconds: of each call.
        valid: of each slate.
        elapsed: from start to end where processes worked side by side; else the calls' sum.
    """

    batch: int
    threads: int = 1
    seconds: list[float] = field(default_factory=list)
    valid: list[bool] = field(default_factory=list)
    elapsed: float | None = None

    @property
    def p50(self) -> float:
        return float(np.percentile(self.seconds, 50))

    @property
    def slates_per_s(self) -> float:
        return len(self.valid) / (self.elapsed or sum(self.seconds))


def in_turns(
    systems: Sequence[System],
    shape: Shape,
    catalog: Catalog,
    users: Sequence[UserContext],
    batch: int = 1,
    warm_up: int = 1,
) -> list[Times]:
    """Every system answers one batch of users after another; the first `warm_up` batches do not count.

    All answer the same users before any goes on, so that a machine that slows down slows all of them.
    """
    times = [Times(batch) for _ in systems]
    for call, low in enumerate(range(0, len(users) - batch + 1, batch)):
        asked = users[low : low + batch]
        for system, taken in zip(systems, times, strict=True):
            seconds, good = timed_call(system, shape, catalog, asked)
            if call >= warm_up:
                taken.seconds.append(seconds)
                taken.valid += good
    return times


def timed_call(
    system: System, shape: Shape, catalog: Catalog, users: Sequence[UserContext]
) -> tuple[float, list[bool]]:
    """Seconds from users to slates, and whether each slate is valid."""
    seen = [user.item_ids for user in users]
    started = time.perf_counter()
    slates = system.recommender.recommend(users, shape.slate, seen)
    seconds = time.perf_counter() - started
    return seconds, [
        valid(slate, shape.slate, catalog, user) for slate, user in zip(slates, users, strict=True)
    ]


def side_by_side(
    subject: Subject, shape: Shape, batch: int, calls: int, seed: int, workers: int = 2
) -> Times:
    """`workers` processes of one thread, each with a model of its own, that start together."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers, timeout=BARRIER_SECONDS)
    with ProcessPoolExecutor(workers, context, _join, (barrier,)) as pool:
        jobs = [pool.submit(_work, subject, shape, batch, calls, seed, worker) for worker in range(workers)]
        done = [job.result() for job in jobs]
    times = Times(batch, threads=workers)
    for _, _, seconds, good in done:
        times.seconds += seconds
        times.valid += good
    times.elapsed = max(end for _, end, _, _ in done) - min(start for start, _, _, _ in done)
    return times


_barrier: Barrier | None = None


def _join(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier
    torch.set_num_threads(1)


def _work(
    subject: Subject, shape: Shape, batch: int, calls: int, seed: int, worker: int
) -> tuple[float, float, list[float], list[bool]]:
    """(start, end, seconds of each call, validity of each slate) of one process."""
    catalog = random_catalog(shape, seed)
    users = random_users(shape, catalog, batch * (calls + 1), seed + worker)
    system = build(subject, shape, catalog, seed)
    timed_call(system, shape, catalog, users[:batch])
    if _barrier is not None:
        _barrier.wait()
    started, seconds, good = time.time(), [], []
    for call in range(1, calls + 1):
        low = call * batch
        taken, found = timed_call(system, shape, catalog, users[low : low + batch])
        seconds.append(taken)
        good += found
    return started, time.time(), seconds, good


def row(system: System, times: Times) -> dict[str, Any]:
    """As in the document."""
    subject = system.subject
    limit, _ = limit_seconds(system.work(times.batch), system.parameters, system.kind, subject.device)
    return {
        "system": subject.system,
        "engine": "transformers" if subject.system.startswith("hf") else subject.engine,
        "device": subject.device,
        "threads": times.threads,
        "params": system.parameters,
        "batch": times.batch,
        "p50_ms": times.p50 * 1e3,
        "p99_ms": float(np.percentile(times.seconds, 99)) * 1e3,
        "slates_per_s": times.slates_per_s,
        "valid_share": float(np.mean(times.valid)),
        "roofline_ratio": times.p50 / limit,
    }


def limit(system: System, batch: int) -> dict[str, Any]:
    """What `roofline_ratio` of a row is made of."""
    work, device = system.work(batch), system.subject.device
    seconds, bound = limit_seconds(work, system.parameters, system.kind, device)
    return {
        "kind": system.kind,
        "gflop": work.flops / 1e9,
        "megabytes": work.bytes(system.kind) / 1e6,
        "limit_ms": seconds * 1e3,
        "bound": bound,
    }
