"""What a person orders, and how the controller gives way."""

import json

import pytest

from higr.errors import InputError
from tests.serving.rollout.objects import route
from tests.serving.rollout.world import NEW, STABLE, World


def test_a_held_rollout_may_still_be_rolled_back_but_not_go_on_by_itself(world: World) -> None:
    world.look()
    world.silence = "nothing is heard"
    world.until("held", on_timeout="hold")
    world.silence = ""
    for _ in range(3):
        assert world.look(on_timeout="hold").state.phase == "held"
    world.cluster.record(command="resume", ordered_by="on-call", reason="traffic is back")
    assert world.look(10, on_timeout="hold").state.phase == "progressing"
    assert world.cluster.data()["command"] == "auto"
    world.silence = "nothing is heard"
    world.until("held", on_timeout="hold")
    world.silence, world.rates["canary"] = "", 0.5
    assert world.look().state.phase == "rolled-back"


def test_a_person_pauses_and_goes_on(world: World) -> None:
    world.look()
    world.cluster.record(command="pause", ordered_by="on-call", reason="release freeze")
    world.rates["canary"] = 0.5
    assert world.look().why == "paused by on-call: release freeze; command auto goes on"
    assert world.cluster.weight() == (90, 10)
    world.cluster.record(command="auto")
    assert world.look().state.phase == "rolled-back"


def test_a_pause_takes_nothing_from_the_time_of_a_step(world: World) -> None:
    world.look()
    world.slates = 0
    world.look(500)
    world.cluster.record(command="pause", ordered_by="on-call", reason="release freeze")
    for seconds in (10, 5000, 5000):
        assert world.look(seconds).why.startswith("paused by on-call")
    world.cluster.record(command="auto")
    assert [world.look(90).state.phase for _ in range(2)] == ["progressing"] * 2, "510, then 600 seconds"
    assert world.look(1).state.phase == "rolled-back"


@pytest.mark.parametrize(
    ("command", "phase", "uri"), [("promote", "promoted", NEW), ("roll-back", "rolled-back", STABLE)]
)
def test_a_person_decides(world: World, command: str, phase: str, uri: str) -> None:
    world.look()
    world.silence = "nothing is heard"
    world.cluster.record(command=command, ordered_by="on-call", reason="seen enough")
    outlook = world.look()
    assert outlook.state.phase == phase
    assert (world.cluster.weight(), world.cluster.uris("higr")) == ((100, 0), {uri})
    data = world.cluster.data()
    assert (data["by"], data["why"], data["command"]) == ("on-call", "seen enough", "auto")
    assert (phase, 0) == world.history[-1]


def test_a_command_that_is_none_is_told(world: World) -> None:
    world.look()
    world.cluster.record(command="promte")
    assert world.look().why.startswith("command 'promte' is none of auto, pause")
    assert world.cluster.weight() == (90, 10)


def test_weights_that_somebody_moved_are_left_alone(world: World) -> None:
    world.look()
    world.cluster.set_route(route(70))
    assert "somebody moved the weights of HTTPRoute higr to 30/70, the rollout had 90/10" in world.look().why
    assert world.cluster.weight() == (30, 70)
    world.cluster.record(command="roll-back")
    world.look()
    assert world.cluster.weight() == (100, 0)


def test_a_rolled_back_candidate_is_tried_again_only_on_order(world: World) -> None:
    world.look()
    world.cluster.record(command="roll-back")
    world.look()
    assert world.look().state.phase == "rolled-back"
    world.cluster.record(command="restart", ordered_by="on-call", reason="the disk is mended")
    assert world.look().why == "step 1 begins at 10 %"
    assert json.loads(world.cluster.data()["state"])["history"][0]["by"] == "on-call"


def test_a_candidate_that_has_ended_does_not_undo_what_somebody_serves_instead(world: World) -> None:
    world.look()
    assert world.until("promoted").state.phase == "promoted"
    chosen = "s3://models/versions/chosen-by-hand"
    world.cluster.set_uri("higr", chosen)
    assert world.look().state.phase == "promoted"
    assert (world.cluster.uris("higr"), world.cluster.weight()) == ({chosen}, (100, 0))
    world.cluster.record(command="restart", ordered_by="on-call", reason="once more")
    assert world.look().why == "step 1 begins at 10 %"


def test_a_state_that_cannot_be_read_is_told_and_restart_mends_it(world: World) -> None:
    world.cluster.record(state='{"phase": "flying"}')
    with pytest.raises(InputError, match=r"key state cannot be read .*set command to restart"):
        world.look()
    world.cluster.record(command="restart")
    assert world.look().why == "step 1 begins at 10 %"
