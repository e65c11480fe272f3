"""A clock, what Prometheus would say, and the controller against an emulated cluster.

Every look is one of a new controller: what it knows, it knows from the cluster.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from serving.rollout.cluster import Cluster as Objects
from serving.rollout.config import RolloutConfig
from serving.rollout.controller import Controller, Outlook
from serving.rollout.evidence import Counted, Rated, Side, Sums
from serving.rollout.measure import Look
from serving.rollout.prometheus import Unavailable
from tests.serving.rollout.objects import Cluster

STABLE, NEW = "s3://models/versions/old", "s3://models/versions/new"
SETTLE = 30.0
STEPS = [
    {"weight": weight, "least_seconds": 60, "least_slates": 1000, "greatest_seconds": 600}
    for weight in (10, 50)
]


@dataclass
class World:
    """A clock, and what Prometheus would say of each look.

    Attributes:
        rates: side to the share of its requests that fail. slates: of either side, a look.
        served: side to what it serves; None of the stable one: what it is told to.
        lacking: why nothing is known of outcomes.
    """

    cluster: Cluster
    now: float = 1_800_000_000.0
    slates: int = 1500
    rates: dict[str, float] = field(default_factory=lambda: {"stable": 0.001, "canary": 0.001})
    watch: dict[str, float] = field(default_factory=lambda: {"stable": 40.0, "canary": 40.0})
    canary: str = "new"
    stuck: str = ""
    silence: str = ""
    lacking: str = ""
    store: Any = None

    def __call__(self, since: float, until: float) -> Look:
        if self.silence:
            raise Unavailable(self.silence)
        assert since < until
        sides: tuple[Side, ...] = ("stable", "canary")
        n = self.slates
        return Look(
            Counted(
                rates={s: {"errors": Rated(hits=round(n * self.rates[s]), n=n)} for s in sides},
                means={
                    s: {"watch_seconds": Sums(n=n, total=n * m, squares=n * (m * m + 100.0))}
                    for s, m in self.watch.items()
                    if not self.lacking
                },
            ),
            0.0 if self.lacking else until - SETTLE,
            {side: self.versions(side, until) for side in sides},
            self.lacking,
        )

    def versions(self, side: Side, until: float) -> frozenset[str]:
        if side == "canary":
            return frozenset({self.canary} - {""})
        (uri,) = self.cluster.uris("higr")
        return frozenset({self.stuck or uri.rpartition("/")[2]})

    def look(self, seconds: float = 100.0, **fields: Any) -> Outlook:
        """After so many seconds."""
        self.now += seconds
        return self.controller(**fields).look()

    def controller(self, **fields: Any) -> Controller:
        config = RolloutConfig.model_validate(
            {
                "name": "higr",
                "namespace": "models",
                "steps": STEPS,
                "errors": {"margin": 0.01},
                "fallback": None,
                "slow": [],
                "outcomes": {
                    "settle_seconds": SETTLE,
                    "effective_views": None,
                    "watch_seconds": {"margin": 0.05},
                },
                "ready_seconds": 300,
                **fields,
            }
        )
        return Controller(config, Objects(config), self, self.store, lambda: self.now)

    def until(self, *phases: str, **fields: Any) -> Outlook:
        for _ in range(20):
            outlook = self.look(**fields)
            if outlook.state is not None and outlook.state.phase in phases:
                return outlook
        raise AssertionError(outlook.why)

    @property
    def history(self) -> list[tuple[str, int]]:
        entries = json.loads(self.cluster.data()["state"])["history"]
        return [(entry["phase"], entry["weight"]) for entry in entries]
