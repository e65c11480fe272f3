"""Which bundle is rolled out: offered, refused, replaced by another, put on record."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from higr.errors import InputError, StoreError
from higr.store.history import Index, Published
from serving.rollout.access import Busy
from tests.serving.rollout.world import NEW, STABLE, World


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


def test_the_same_bundle_on_both_sides_is_nothing_to_roll_out(world: World) -> None:
    world.cluster.set_uri("higr-canary", STABLE)
    outlook = world.look()
    assert (outlook.state, outlook.ended) == (None, True)
    assert "nothing to roll out" in outlook.why


def test_parts_of_two_bundles_are_refused(world: World) -> None:
    world.cluster.set_uri("higr-canary", "s3://models/versions/other", roles=("predictor",))
    with pytest.raises(InputError, match="its parts have the bundles s3://models/versions/new, s3"):
        world.look()
