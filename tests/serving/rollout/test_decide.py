"""What counts lead to: table by table, then a hundred seeded rollouts of each kind of canary."""

from dataclasses import replace

import pytest

from benchmarks.rollout import CANARIES, GOOD, run
from serving.rollout.config import RolloutConfig, Step
from serving.rollout.decide import decide
from serving.rollout.evidence import Counted, Rated, Sums
from serving.rollout.judge import Finding, judge, mean_margins, rate_margins

CONFIG = RolloutConfig(
    name="higr",
    namespace="models",
    steps=(
        Step(weight=5, least_seconds=60, least_slates=500, greatest_seconds=600),
        Step(weight=50, least_seconds=60, least_slates=500, greatest_seconds=600),
    ),
)
RATES, MEANS = tuple(rate_margins(CONFIG)), tuple(mean_margins(CONFIG))


def findings(**standings: str) -> list[Finding]:
    """One a measure, fine where nothing else is said."""
    bounds = {"fine": (-0.2, -0.1), "open": (-0.1, 0.1), "worse": (0.1, 0.2), "unknown": (None, None)}
    return [
        Finding(measure=name, margin=0.01, stable=0.1, canary=0.1, low=low, high=high)
        for name in (*RATES, *MEANS)
        for low, high in [bounds[standings.get(name, "fine")]]
    ]


@pytest.mark.parametrize(
    ("step", "seconds", "slates", "standings", "verdict", "why"),
    [
        (0, 100, 600, {}, "advance", "within its margins at 5 %"),
        (1, 100, 600, {}, "promote", "within all margins after 2 steps"),
        (0, 59, 600, {}, "hold", "59 of at least 60 seconds"),
        (0, 100, 499, {}, "hold", "499 of at least 500 slates"),
        (0, 100, 600, {"errors": "open"}, "hold", "not yet decided: errors"),
        (0, 100, 600, {"fallback": "unknown"}, "hold", "not yet decided: fallback"),
        # What users like has time until the last step.
        (0, 100, 600, {"watch_seconds": "open"}, "advance", ""),
        (1, 100, 600, {"watch_seconds": "open"}, "hold", "not yet decided: watch_seconds"),
        (1, 100, 600, {"effective_views": "unknown"}, "hold", "not yet decided: effective_views"),
        # Worse is worse at once, in any step and with any number of slates.
        (0, 1, 10, {"slow_0.3": "worse"}, "roll-back", "worse than its margin: slow_0.3"),
        (0, 1, 10, {"watch_seconds": "worse"}, "roll-back", "watch_seconds"),
        (0, 601, 10, {}, "roll-back", "10 of at least 500 slates of the canary in this step, after more"),
        (0, 601, 600, {"errors": "open"}, "roll-back", "not yet decided: errors"),
        # Proven in the last moment is proven.
        (1, 601, 600, {}, "promote", ""),
    ],
)
def test_decisions(
    step: int, seconds: float, slates: float, standings: dict[str, str], verdict: str, why: str
) -> None:
    decision = decide(CONFIG, step, seconds, slates, findings(**standings))
    assert decision.verdict == verdict
    assert why in decision.why


def test_a_timeout_may_hold() -> None:
    config = CONFIG.model_copy(update={"on_timeout": "hold"})
    decision = decide(config, 0, 601, 0, findings())
    assert (decision.verdict, decision.over) == ("hold", True)
    assert not decide(config, 0, 600, 0, findings()).over


def counted(rates: dict[str, tuple[Rated, Rated]], means: dict[str, tuple[Sums, Sums]]) -> Counted:
    return Counted(
        rates={side: {k: v[i] for k, v in rates.items()} for i, side in enumerate(("stable", "canary"))},
        means={side: {k: v[i] for k, v in means.items()} for i, side in enumerate(("stable", "canary"))},
    )


def sums(n: float, mean: float, deviation: float = 20.0) -> Sums:
    return Sums(n=n, total=n * mean, squares=n * (mean**2 + deviation**2))


@pytest.mark.parametrize(
    ("canary", "standing"),
    [
        (Rated(hits=10, n=10_000), "fine"),
        (Rated(hits=1250, n=500_000), "fine"),  # worse beyond doubt, but not by its margin
        (Rated(hits=2, n=600), "open"),
        (Rated(hits=300, n=10_000), "worse"),
        (Rated(), "open"),
    ],
)
def test_a_rate_is_judged_by_its_bounds(canary: Rated, standing: str) -> None:
    seen = counted({"errors": (Rated(hits=50, n=50_000), canary)}, {})
    found = {finding.measure: finding for finding in judge(CONFIG, seen, [Counted()])}
    assert found["errors"].standing == standing
    assert found["fallback"].standing == "open"
    assert (found["errors"].low is None) == (canary.n == 0)


@pytest.mark.parametrize(
    ("n", "mean", "standing"),
    [(200_000, 40.0, "fine"), (1500, 40.0, "open"), (200_000, 36.0, "worse"), (499, 10.0, "open")],
)
def test_a_mean_is_judged_against_a_share_of_the_stable_one(n: int, mean: float, standing: str) -> None:
    strata = [counted({}, {"watch_seconds": (sums(500_000, 40.0), sums(n, mean))}), Counted()]
    (found,) = (f for f in judge(CONFIG, Counted(), strata) if f.measure == "watch_seconds")
    assert found.standing == standing
    assert (found.stable, found.canary) == (pytest.approx(40.0), pytest.approx(mean))


def test_what_is_switched_off_is_not_judged() -> None:
    config = CONFIG.model_copy(update={"errors": None, "slow": (), "outcomes": None})
    assert [finding.measure for finding in judge(config, Counted(), [])] == ["fallback"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CANARIES)
def test_at_most_five_of_a_hundred_decisions_are_wrong(name: str) -> None:
    world, due = CANARIES[name]
    verdicts = [run(world, seed).verdict for seed in range(100)]
    assert sum(verdict != due for verdict in verdicts) <= 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "canary", [replace(GOOD, errors=0.0065), replace(GOOD, watch=0.965 * GOOD.watch)], ids=["errors", "watch"]
)
def test_a_canary_just_beyond_a_margin_is_hardly_ever_promoted(canary: object) -> None:
    """The hardest case: alpha bounds it."""
    steps = tuple(Step(weight=w, least_seconds=60, greatest_seconds=1200) for w in (20, 50))
    config = RolloutConfig(name="higr", namespace="models", steps=steps, on_timeout="hold")
    verdicts = [run(canary, seed, config=config).verdict for seed in range(60)]
    assert verdicts.count("promote") <= 3
