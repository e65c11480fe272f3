"""A controller that is killed anywhere, or is not alone."""

from collections.abc import Callable
from typing import Any

import pytest

from serving.rollout.access import Busy
from serving.rollout.cluster import Cluster as Objects
from serving.rollout.config import RolloutConfig
from tests.serving.rollout.objects import route
from tests.serving.rollout.world import NEW, STABLE, World


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    "call", ["set_weight", "set_bundle", "remember_bundle", "write", "event", "ready", "bundle"]
)
@pytest.mark.parametrize("command", ["", "promote", "roll-back"])
def test_a_kill_anywhere_leaves_what_the_next_look_finishes(
    world: World, monkeypatch: pytest.MonkeyPatch, call: str, command: str
) -> None:
    """Once before and once after each call that touches the cluster; whatever was begun ends the same way."""
    undisturbed: Callable[..., Any] = getattr(Objects, call)
    calls = 0

    def killed(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (1, 5, 11):
            raise Killed
        answer = undisturbed(*arguments, **named)
        if calls in (2, 7, 14):
            raise Killed
        return answer

    monkeypatch.setattr(Objects, call, killed)
    ordered = False
    for _ in range(40):
        try:
            outlook = world.look()
        except Killed:
            assert sum(world.cluster.weight()) == 100
            continue
        if outlook.ended:
            break
        if command and not ordered:
            world.cluster.record(command=command)
            ordered = True
    assert outlook.ended
    due = (STABLE, "rolled-back") if command == "roll-back" else (NEW, "promoted")
    assert (*world.cluster.uris("higr"), world.cluster.data()["phase"]) == due
    assert world.cluster.weight() == (100, 0)
    assert world.cluster.data("bundle")["stable"] == due[0]


def test_who_is_faster_wins_and_nothing_is_half_moved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading and patching, somebody else writes: the route, then the record."""
    read = Objects._route

    def then_moved(self: Objects) -> Any:
        found = read(self)
        world.cluster.set_route(route(33))
        return found

    world.look()
    world.look(10)
    monkeypatch.setattr(Objects, "_route", then_moved)
    config = RolloutConfig(name="higr", namespace="models")
    with pytest.raises(Busy, match="HTTPRoute higr was changed by somebody else meanwhile"):
        Objects(config).set_weight(50, 10)
    assert world.cluster.weight() == (67, 33)


def test_two_controllers_do_not_both_decide(world: World) -> None:
    world.look()
    config = RolloutConfig(name="higr", namespace="models")
    objects = Objects(config)
    ours = objects.record()
    world.cluster.record(note="of the other one")
    with pytest.raises(Busy, match="ConfigMap higr-rollout was changed by somebody else"):
        objects.write(ours, {"phase": "promoted"})
    assert world.cluster.data()["phase"] == "progressing"
