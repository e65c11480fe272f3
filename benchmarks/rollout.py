"""How often the rollout decides wrongly: `python -m benchmarks.rollout`.

Seeded rollouts of made-up traffic through the product's own judgement (`serving.rollout.judge`, `decide`),
one look after the other, up to the end of each: a hold that never ends is an outcome, too. No server, no
cluster.
"""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import typer

from serving.rollout.config import RolloutConfig, Step
from serving.rollout.decide import decide
from serving.rollout.evidence import SIDES, Counted, Rated, Side, Sums
from serving.rollout.judge import judge

LOOK_SLATES = 2000
LOOK_SECONDS = 30.0
CONFIG = RolloutConfig(
    name="higr",
    namespace="models",
    steps=tuple(Step(weight=w, least_seconds=300, greatest_seconds=3600) for w in (5, 20, 50)),
    look_seconds=LOOK_SECONDS,
    on_timeout="hold",
)


@dataclass(frozen=True)
class World:
    """One side's slates.

    Attributes:
        errors, fallback, slow: shares of requests. watch: mean seconds of a slate; their spread is that of a
        gamma distribution of shape 2. views: share of items effectively viewed, of 6 a slate.
    """

    errors: float = 0.001
    fallback: float = 0.01
    slow: float = 0.005
    watch: float = 40.0
    views: float = 0.4


GOOD = World()
CANARIES: Mapping[str, tuple[World | None, str]] = {
    "good": (GOOD, "promote"),
    "slow": (replace(GOOD, slow=0.04), "roll-back"),
    "erroring": (replace(GOOD, errors=0.02), "roll-back"),
    "worse watch time": (replace(GOOD, watch=0.9 * GOOD.watch), "roll-back"),
    "silent": (None, "hold"),
}
"""Canary to what it is like (None: nobody asks it), and what is to become of it."""


@dataclass(frozen=True)
class Run:
    """How a rollout ended, after so many slates of the canary and seconds."""

    verdict: str
    slates: float
    seconds: float


def run(canary: World | None, seed: int, stable: World = GOOD, config: RolloutConfig = CONFIG) -> Run:
    """One rollout, to its end."""
    draw = np.random.default_rng(seed)
    worlds: dict[Side, World | None] = {"stable": stable, "canary": canary}
    seconds = total = 0.0
    strata: list[Counted] = []
    for index, step in enumerate(config.steps):
        counted, began = Counted(), seconds
        strata.append(Counted())
        verdict = "hold"
        while verdict == "hold":
            seconds += LOOK_SECONDS
            ours = int(draw.binomial(LOOK_SLATES, step.weight / 100))
            numbers = {"stable": LOOK_SLATES - ours, "canary": ours if canary else 0}
            total += numbers["canary"]
            seen = {s: _side(draw, world, numbers[s]) for s in SIDES if (world := worlds[s])}
            counted += Counted(rates={side: rates for side, (rates, _) in seen.items()})
            strata[-1] += Counted(means={side: means for side, (_, means) in seen.items()})
            findings = judge(config, counted, strata)
            decision = decide(config, index, seconds - began, counted.slates("canary"), findings)
            verdict = decision.verdict
            if decision.over:
                return Run(verdict, total, seconds)
        if verdict != "advance":
            return Run(verdict, total, seconds)
    raise AssertionError("the last step promotes, rolls back or holds")


def _side(draw: np.random.Generator, world: World, n: int) -> tuple[dict[str, Rated], dict[str, Sums]]:
    rates = {
        name: Rated(hits=float(draw.binomial(n, share)), n=n)
        for name, share in (("errors", world.errors), ("fallback", world.fallback), ("slow_0.3", world.slow))
    }
    watch = draw.gamma(2.0, world.watch / 2.0, n)
    views = draw.binomial(6, world.views, n) / 6
    means = {
        name: Sums(n=n, total=float(values.sum()), squares=float((values**2).sum()))
        for name, values in (("watch_seconds", watch), ("effective_views", views))
    }
    return rates, means


def table(seeds: int) -> tuple[str, int]:
    """Markdown, and how many decisions were wrong."""
    lines = [
        "| canary | right | promoted | rolled back | held | slates of the canary, median | minutes, median |",
        "|---|---|---|---|---|---|---|",
    ]
    wrong = 0
    for name, (world, due) in CANARIES.items():
        runs = [run(world, seed) for seed in range(seeds)]
        ended = Counter(one.verdict for one in runs)
        wrong += seeds - ended[due]
        slates, seconds = (np.median([getattr(one, what) for one in runs]) for what in ("slates", "seconds"))
        figures = [ended["promote"], ended["roll-back"], ended["hold"]]
        cells = [name, due, *map(str, figures), f"{slates:,.0f}", f"{seconds / 60:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines), wrong


def main(
    seeds: Annotated[int, typer.Option(help="Rollouts of each canary.", min=1, max=10_000)] = 100,
) -> None:
    """Seeded rollouts of good and bad canaries, as a table."""
    text, wrong = table(seeds)
    sys.stdout.write(f"{text}\n\n{wrong} of {seeds * len(CANARIES)} decisions were wrong.\n")


if __name__ == "__main__":
    typer.run(main)
