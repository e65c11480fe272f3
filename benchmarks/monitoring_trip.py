"""How soon after a trip do users get the baseline's slates? A real job moves the switch of a real service.

Part of `benchmarks.monitoring`. The switch is a file on one machine; on a cluster it is a ConfigMap, and the
kubelet's own time until a pod sees it comes on top.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.serving_world import Process, make_world
from higr.errors import HigrError
from monitoring.act import Entry, Record, override
from monitoring.result import DriftResult

EVERY = 0.01
"""Seconds between two requests."""
PATIENCE = 30.0


@dataclass
class Client:
    """Asks for slates one after the other, and remembers who made them."""

    url: str
    seen: list[tuple[float, str]] = field(default_factory=list)
    failed: int = 0

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def first(self, source: str, since: float) -> float:
        """When the first slate of this source came, Unix seconds."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for at, made_by in list(self.seen):
                if at >= since and made_by == source:
                    return at
            time.sleep(EVERY)
        raise HigrError(f"no slate of {source} in {PATIENCE:g} s; see the log of the service")

    def _ask(self) -> None:
        with httpx.Client(trust_env=False, timeout=10) as client:
            while not self._over.wait(EVERY):
                answer = client.post(self.url, json={"instances": [{"user_id": "somebody"}]})
                if answer.status_code == 200:
                    self.seen.append((time.time(), answer.json()["predictions"][0]["source"]))
                else:
                    self.failed += 1


Judge = Callable[[Path, int], tuple[DriftResult, Entry | None]]
"""The job with this switch, for the n-th time: a window that trips, not judged before."""


def trips(folder: Path, judge: Judge, count: int) -> dict[str, Any]:
    """From the moment at which the switch is written to the first slate of the baseline.

    Args:
        count: trips; a person puts the switch back after each.
    """
    folder.mkdir()
    switch, record = folder / "switch", Record(folder / "by-hand.jsonl")
    switch.write_text("auto\n")
    world = make_world(folder / "serving")
    process = Process(folder, "higr", ["--bundle", str(world.bundle.path), "--switch", str(switch)]).start()
    seconds = []
    try:
        process.wait()
        client = Client(process.url)
        for number in range(count):
            client.first("higr", time.time())
            result, entry = judge(switch, number)
            if entry is None or entry.action != "moved":
                raise HigrError(f"the job said {result.verdict} and did not move the switch: {result.reason}")
            moved = switch.stat().st_mtime
            seconds.append(client.first("baseline", moved) - moved)
            override(switch, record, "auto", "the benchmark", "the next trip", datetime.now(UTC))
        client.close()
    finally:
        process.stop()
    return {
        "trips": count,
        "p50_s": round(float(np.median(seconds)), 3),
        "max_s": round(max(seconds), 3),
        "slates": len(client.seen),
        "failed": client.failed,
    }
