"""The simulated world: reproducible, and such that order and variety pay."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from higr.config import SimulatorConfig
from higr.data.population import START_MS
from higr.data.simulator import World, goes_on
from higr.errors import InputError

CONFIG = SimulatorConfig(users=80, items=400, slates_per_user=12, days=14)


@pytest.fixture(scope="module")
def world() -> World:
    return World(CONFIG, seed=3)


@pytest.fixture(scope="module")
def events(world: World) -> pa.Table:
    return world.generate().events


def alone(world: World, user: int) -> np.ndarray:
    """(N,) expected seconds of each item as a slate of its own."""
    items = np.arange(CONFIG.items)[:, None]
    return world.mean_seconds(
        world.interest(np.full(CONFIG.items, user), items, np.zeros(items.shape)), items
    )[:, 0]


def watch(world: World, user: int, items: np.ndarray) -> float:
    ids = world.items.table["item_id"].take(pa.array(items)).to_pylist()
    return world.expected_watch(world.users.table["user_id"][user].as_py(), ids)


def test_a_seed_gives_one_world(world: World, events: pa.Table) -> None:
    again = World(CONFIG, seed=3).generate()
    assert again.events.equals(events)
    assert again.items.equals(world.items.table)
    assert again.users is not None
    assert again.users.equals(world.users.table)
    assert not World(CONFIG, seed=4).generate().events.equals(events)


def test_the_log_is_sound(world: World, events: pa.Table) -> None:
    frame = events.to_pandas()
    assert frame.groupby("request_id").size().max() == CONFIG.slate_size
    assert not frame.duplicated(["request_id", "item_id"]).any()
    assert not frame.duplicated(["user_id", "item_id", "timestamp"]).any()
    assert (frame.watch_seconds >= 0).all()
    assert (frame.watch_seconds[~frame.clicked] == 0).all()
    created = dict(zip(world.items.table["item_id"].to_pylist(), world.items.created.tolist(), strict=True))
    assert (frame.timestamp >= frame.item_id.map(created)).all()  # nothing is shown before it exists
    assert frame.timestamp.min() >= START_MS
    ordered = frame.sort_values(["request_id", "position"])
    assert (ordered.groupby("request_id").timestamp.diff().dropna() > 0).all()
    assert 0.2 < (frame.watch_seconds / frame.duration_seconds >= 0.5).mean() < 0.6
    by_position = frame.groupby("position").clicked.mean()
    assert by_position.is_monotonic_decreasing  # position bias
    assert by_position[0] == 1


def test_best_first_beats_worst_first(world: World) -> None:
    rng = np.random.default_rng(0)
    for user in range(40):
        slate = rng.choice(CONFIG.items, size=5, replace=False)
        ranked = slate[np.argsort(-alone(world, user)[slate])]
        assert watch(world, user, ranked) > watch(world, user, ranked[::-1])


def test_a_varied_slate_beats_one_topic_of_equal_appeal(world: World) -> None:
    """Each of the other slate's items is at most as good alone, within 2 %."""
    compared = 0
    for user in range(40):
        value = alone(world, user)
        topic = int(world.users.interests[user, 0])
        same = np.flatnonzero(world.items.topic == topic)[:4]
        other, used = [], {topic}
        for item in same:
            near = np.flatnonzero((value <= value[item]) & (value > 0.98 * value[item]))
            near = [i for i in near if world.items.topic[i] not in used]
            if near:
                other.append(near[-1])
                used.add(int(world.items.topic[near[-1]]))
        if len(other) == len(same) >= 3:
            compared += 1
            assert watch(world, user, np.array(other)) > watch(world, user, same)
    assert compared >= 10


def test_expected_watch_by_hand(world: World) -> None:
    """Two items of one topic: the second one bores by 0.45 + 0.15 and is reached by the first's chance."""
    topic = np.bincount(world.items.topic).argmax()
    first, second = np.flatnonzero(world.items.topic == topic)[:2]
    seconds = alone(world, 7)
    interest = world.interest(np.array([7]), np.array([[first]]), np.zeros((1, 1)))
    due = seconds[first] + goes_on(interest)[0, 0] * seconds[second] / 1.6
    assert watch(world, 7, np.array([first, second])) == pytest.approx(due)
    assert world.expected_watch("u0000000", []) == 0


def test_many_slates_at_once_equal_each_alone(world: World) -> None:
    rng = np.random.default_rng(0)
    users = rng.integers(CONFIG.users, size=30)
    items = np.stack([rng.permutation(CONFIG.items)[:6] for _ in users])
    lengths = rng.integers(0, 7, size=30)
    padded = np.where(np.arange(6) < lengths[:, None], items, -1)
    due = [watch(world, u, row[:n]) for u, row, n in zip(users, items, lengths, strict=True)]
    assert world.expected_seconds(users, padded) == pytest.approx(due)
    names = world.users.table["user_id"].to_pylist()
    assert world.user_rows([names[7], names[0]]).tolist() == [7, 0]


def test_expectation_is_what_the_log_shows() -> None:
    """First positions of users' first requests are drawn from the formula `expected_watch` uses."""
    world = World(SimulatorConfig(users=4000, items=300, slates_per_user=0.5, slate_size=1, days=3), seed=1)
    frame = world.generate().events.to_pandas().groupby("user_id").first().reset_index()
    due = [
        world.expected_watch(user, [item]) for user, item in zip(frame.user_id, frame.item_id, strict=True)
    ]
    error = frame.watch_seconds.mean() - np.mean(due)
    assert abs(error) < 4 * (frame.watch_seconds - due).std() / np.sqrt(len(frame))


@pytest.mark.parametrize(
    ("user", "item", "said"), [("x", "v0000000", "no user 'x'"), ("u0000000", "y", "no item 'y'")]
)
def test_ids_of_another_world(world: World, user: str, item: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        world.expected_watch(user, [item])


def test_titles_speak_of_their_topic(world: World) -> None:
    for text, tags in zip(
        world.items.table["text"].to_pylist(), world.items.table["tags"].to_pylist(), strict=True
    ):
        assert tags[0] in text
        assert text[0].isupper()
    assert len(set(world.items.table["text"].to_pylist())) > 0.95 * CONFIG.items


def test_a_catalogue_smaller_than_a_slate_repeats_nothing() -> None:
    events = (
        World(SimulatorConfig(users=5, items=10, slate_size=12, days=3, slates_per_user=3), 0)
        .generate()
        .events
    )
    sizes = pc.value_counts(events["request_id"].combine_chunks()).field("counts")
    assert pc.max(sizes).as_py() <= 10
