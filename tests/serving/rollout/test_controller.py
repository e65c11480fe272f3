"""The controller against an emulated cluster: what it does, and in which order.

What Prometheus would say is given; the end-to-end test asks a real one.
"""

from collections.abc import Callable
from typing import Any

import pytest

from higr.errors import InputError
from serving.rollout.cluster import Cluster as Objects
from serving.rollout.evidence import Counted, Sums
from serving.rollout.state import State, Stratum
from tests.serving.rollout.objects import route
from tests.serving.rollout.world import NEW, STABLE, World


def test_a_good_candidate_goes_up_step_by_step_and_is_promoted(world: World) -> None:
    assert world.look().why == "step 1 begins at 10 %"
    assert world.cluster.weight() == (90, 10)
    early = world.look(30)
    assert early.why == "30 of at least 60 seconds of this step"
    assert world.look(40).why == "step 2 begins at 50 %"
    assert world.cluster.weight() == (50, 50)
    done = world.until("promoted")
    assert done.ended
    assert world.cluster.weight() == (100, 0)
    assert world.cluster.uris("higr") == world.cluster.uris("higr-canary") == {NEW}
    assert world.cluster.data("bundle") == {"stable": NEW, "canary": NEW}
    assert world.history == [*(("progressing", 10), ("progressing", 50), ("promoting", 50), ("promoted", 0))]
    data = world.cluster.data()
    assert (data["phase"], data["weight"], data["by"]) == ("promoted", "0", "rollout")
    assert "watch_seconds (stable 40, canary 40, margin 0.05)" in data["why"]
    assert sorted(reason for reason, _ in world.cluster.events()) == ["Begun", "Promoted", "Step", "Step"]
    # What has ended is left alone, whatever is looked at later.
    world.cluster.set_route(route(7))
    assert world.look().ended
    assert world.cluster.weight() == (93, 7)


@pytest.mark.parametrize(
    ("side", "value", "measure"), [("rates", 0.05, "errors"), ("watch", 30.0, "watch_seconds")]
)
def test_a_worse_candidate_is_rolled_back(world: World, side: str, value: float, measure: str) -> None:
    getattr(world, side)["canary"] = value
    done = world.until("rolled-back")
    assert f"worse than its margin: {measure}" in done.why
    assert world.cluster.weight() == (100, 0)
    assert world.cluster.uris("higr") == {STABLE}
    assert world.history[-2:] == [("reverting", 0), ("rolled-back", 0)]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"silence": "Prometheus does not answer"}, "Prometheus does not answer"),
        ({"slates": 0}, "0 of at least 1000 slates of the canary in this step"),
        ({"canary": ""}, "the canary side serves other bundles than the one it began with: none"),
        ({"canary": "old"}, "both sides serve bundle old: there is nothing to compare"),
        ({"stuck": "other"}, "the stable side serves other bundles than the one it began with: other"),
    ],
)
def test_what_cannot_be_judged_is_held_and_never_promoted(
    world: World, fault: dict[str, Any], why: str
) -> None:
    world.look()
    if "stuck" in fault:  # it was another when it began
        world.look(10)
    for name, value in fault.items():
        setattr(world, name, value)
    for _ in range(3):
        outlook = world.look()
        assert (outlook.state.phase, outlook.state.verdict) == ("progressing", "hold")
        assert outlook.why == why
        assert world.cluster.weight() == (90, 10)


def test_unknown_outcomes_forbid_a_step_up_and_no_rollback(world: World) -> None:
    world.look()
    world.look(50)
    world.lacking = "nobody counts outcomes"
    for _ in range(3):
        assert world.look().why == "nobody counts outcomes"
    assert world.cluster.weight() == (90, 10)
    world.lacking = ""
    assert world.look(50).why == "step 2 begins at 50 %"
    world.lacking, world.rates["canary"] = "nobody counts outcomes", 0.5
    done = world.look()
    assert (done.state.phase, world.cluster.weight()) == ("rolled-back", (100, 0))
    assert "worse than its margin: errors" in done.why


@pytest.mark.parametrize(
    ("on_timeout", "phase", "weight"), [("roll-back", "rolled-back", (100, 0)), ("hold", "held", (90, 10))]
)
def test_after_the_greatest_time_a_silent_one_is_what_the_configuration_says(
    world: World, on_timeout: str, phase: str, weight: tuple[int, int]
) -> None:
    world.look()
    world.silence = "nothing is heard"
    outlook = world.until("rolled-back", "held", on_timeout=on_timeout)
    assert (outlook.state.phase, outlook.ended) == (phase, True)
    assert outlook.why == "nothing is heard, after more than 600 seconds"
    assert world.cluster.weight() == weight


def test_a_canary_that_is_not_ready_for_a_step_is_waited_for_but_not_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.look()
    world.look(50)
    monkeypatch.setattr(Objects, "ready", lambda self, name: name != "higr-canary")
    for _ in range(3):
        assert world.look(100).why == "InferenceService higr-canary is not ready"
        assert world.cluster.weight() == (90, 10)
    done = world.look(101)
    assert done.why == "InferenceService higr-canary is not ready, after more than 300 seconds"
    assert (done.state.phase, world.cluster.weight()) == ("rolled-back", (100, 0))


def test_a_bundle_that_the_stable_side_does_not_come_to_serve_is_taken_back(world: World) -> None:
    world.look()
    world.stuck = "old"
    waiting = world.until("promoting")
    assert waiting.why == "the stable side serves old still"
    assert world.cluster.weight() == (50, 50), "the canary serves it well meanwhile"
    done = world.until("rolled-back")
    assert done.why == "the stable side serves old still, after more than 300 seconds"
    assert (world.cluster.weight(), world.cluster.uris("higr")) == ((100, 0), {STABLE})
    assert world.cluster.data("bundle")["stable"] == STABLE


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ConfigMap", "higr-rollout"),
        ("InferenceService", "higr"),
        ("InferenceService", "higr-canary"),
        ("HTTPRoute", "higr"),
    ],
)
def test_a_missing_object_is_named(world: World, kind: str, name: str) -> None:
    world.cluster.remove(kind, name)
    with pytest.raises(InputError, match=f"{kind} {name} is not in namespace models; install the chart with"):
        world.look()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rules: rules.pop(1), "has no rule with the backends higr-transformer and"),
        (lambda rules: rules[1]["backendRefs"][0].update(weight=3), r"its weights are \[\(3, 0\)\]"),
        (lambda rules: rules.append(route(9)["spec"]["rules"][1]), "give every rule the same two"),
    ],
)
def test_a_route_that_is_not_the_charts_is_refused(
    world: World, change: Callable[[list[Any]], Any], message: str
) -> None:
    document = route()
    change(document["spec"]["rules"])
    world.cluster.set_route(document)
    with pytest.raises(InputError, match=message):
        world.look()


def test_outcomes_count_for_the_step_in_which_their_slates_were_served() -> None:
    """Looks at slates served until 90, 110, 150, 210 and 250, of steps that began at 100 and 200."""
    state = State(
        phase="progressing", stable_uri=STABLE, candidate_uri=NEW, began=100, phase_began=100, settled=80
    )
    state = state.model_copy(update={"strata": (Stratum(began=100), Stratum(began=200))})
    for look, settled in enumerate((90, 110, 150, 210, 250)):
        one = Counted(means={"canary": {"watch_seconds": Sums(n=10**look, total=0, squares=0)}})
        state = state.with_outcomes(one, settled)
    # Neither those before the rollout nor those of a look in which a step began.
    assert [s.counted.sums("canary", "watch_seconds").n for s in state.strata] == [100, 10_000]
