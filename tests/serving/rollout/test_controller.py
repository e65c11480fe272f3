"""The controller against an emulated cluster: what it does, in which order, and what becomes of it when
killed.

Every look is one of a new controller: what it knows, it knows from the cluster. What Prometheus would say is
given; the end-to-end test asks a real one.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from higr.errors import InputError, StoreError
from higr.store.history import Index, Published
from serving.rollout.access import Busy
from serving.rollout.cluster import Cluster as Objects
from serving.rollout.config import RolloutConfig
from serving.rollout.controller import Controller, Outlook
from serving.rollout.evidence import Counted, Rated, Side, Sums
from serving.rollout.measure import Look
from serving.rollout.prometheus import Unavailable
from serving.rollout.state import State, Stratum
from tests.serving.rollout.objects import Cluster, emulated, route

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


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with emulated(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def world(emulator: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("KUBECONFIG", str(emulator.kubeconfig))
    emulator.install(STABLE, NEW)
    yield World(emulator)
    emulator.clear()


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


def test_another_candidate_begins_anew(world: World) -> None:
    world.look()
    world.look()
    assert world.cluster.weight() == (50, 50)
    world.cluster.set_uri("higr-canary", "s3://models/versions/newer")
    assert world.look().why == "step 1 begins at 10 %"
    assert world.cluster.weight() == (90, 10)
    assert json.loads(world.cluster.data()["state"])["candidate_uri"].endswith("newer")


def test_what_was_begun_is_finished_before_another_candidate_begins(world: World) -> None:
    world.look()
    world.stuck = "old"
    world.until("promoting")
    world.cluster.set_uri("higr-canary", "s3://models/versions/newer")
    assert world.look().why == "the stable side serves old still"
    world.stuck = ""
    assert world.look().state.phase == "promoted"
    assert world.cluster.uris("higr") == {NEW}
    assert world.look().why == "step 1 begins at 10 %"
    state = json.loads(world.cluster.data()["state"])
    assert (state["stable_uri"], state["candidate_uri"]) == (NEW, "s3://models/versions/newer")


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


class Store:
    """A store that is down once."""

    def __init__(self) -> None:
        self.promoted: list[tuple[str, str]] = []
        self.down = True
        self.silent = False
        self.versions = {"new": Published("new", datetime(2026, 1, 1, tzinfo=UTC), "training", "")}

    def index(self) -> Index:
        if self.silent:
            raise StoreError("store s3://models does not answer")
        return Index((), self.versions, (), ())

    def uri(self, version: str) -> str:
        return f"s3://models/versions/{version}"

    def promote(self, version: str, by: str, reason: str) -> None:
        if self.down:
            self.down = False
            raise StoreError("store s3://models does not answer")
        self.promoted.append((version, by))


def test_a_promotion_goes_on_record_once_the_store_answers(world: World) -> None:
    world.store = Store()
    waiting = world.until("promoting")
    assert waiting.why == "served, but not on record yet: store s3://models does not answer"
    assert world.cluster.weight() == (100, 0)
    world.until("promoted")
    assert world.store.promoted == [("new", "rollout")]


def test_a_candidate_from_elsewhere_is_refused_before_anything_moves(world: World) -> None:
    world.store = Store()
    world.cluster.set_uri("higr-canary", "s3://elsewhere/new")
    with pytest.raises(InputError, match="s3://elsewhere/new is not of the store"):
        world.look(store="s3://models")
    assert world.cluster.weight() == (100, 0)


@pytest.mark.parametrize("versions", [{}, {"new": True}])
def test_a_candidate_that_the_store_does_not_have_is_refused_before_anything_moves(
    world: World, versions: dict[str, bool]
) -> None:
    world.store = Store()
    world.store.versions = {
        name: replace(world.store.versions[name], retired=retired) for name, retired in versions.items()
    }
    with pytest.raises(InputError, match="store s3://models has no version new; `higr bundle list`"):
        world.look(store="s3://models")
    world.store.silent = True
    with pytest.raises(Busy, match="does not answer"):
        world.look(store="s3://models")
    assert world.cluster.weight() == (100, 0)


def test_a_candidate_is_offered(world: World) -> None:
    newer = "s3://models/versions/newer"
    world.controller().offer(newer)
    assert world.cluster.uris("higr-canary") == {newer}
    assert world.cluster.data("bundle") == {"stable": STABLE, "canary": newer}
    world.look()
    assert json.loads(world.cluster.data()["state"])["candidate_uri"] == newer
    world.stuck = "old"
    world.until("promoting")
    with pytest.raises(InputError, match=r"the rollout of .*newer is promoting; wait"):
        world.controller().offer(NEW)
    assert world.cluster.uris("higr-canary") == {newer}


def test_the_same_bundle_on_both_sides_is_nothing_to_roll_out(world: World) -> None:
    world.cluster.set_uri("higr-canary", STABLE)
    outlook = world.look()
    assert (outlook.state, outlook.ended) == (None, True)
    assert "nothing to roll out" in outlook.why


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


def test_parts_of_two_bundles_are_refused(world: World) -> None:
    world.cluster.set_uri("higr-canary", "s3://models/versions/other", roles=("predictor",))
    with pytest.raises(InputError, match="its parts have the bundles s3://models/versions/new, s3"):
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


def test_a_state_that_cannot_be_read_is_told_and_restart_mends_it(world: World) -> None:
    world.cluster.record(state='{"phase": "flying"}')
    with pytest.raises(InputError, match=r"key state cannot be read .*set command to restart"):
        world.look()
    world.cluster.record(command="restart")
    assert world.look().why == "step 1 begins at 10 %"


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
