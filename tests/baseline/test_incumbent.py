"""The whole incumbent: never short, never a forbidden item, better than popularity, the same after saving."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.baseline.examples import examples_of
from higr.baseline.incumbent import Incumbent
from higr.baseline.items import ItemArrays
from higr.baseline.stages import Stages
from higr.config import BaselineConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.slate import UserContext
from tests.baseline.worlds import START, context, items_table, prepared, slate_row

World = tuple[PreparedData, list[UserContext]]
IDS = [f"i{i:03d}" for i in range(60)]

contexts = st.builds(
    context,
    st.just("u"),
    st.lists(st.tuples(st.sampled_from([*IDS, "unknown"]), st.integers(0, 3)), max_size=8),
)


@settings(deadline=None, max_examples=30)
@given(
    asked=st.lists(st.tuples(contexts, st.sets(st.sampled_from([*IDS, "unknown"]))), max_size=4),
    size=st.integers(1, 70),
    disabled=st.sets(st.sampled_from(IDS)),
)
def test_never_short_never_double_never_forbidden(
    incumbent: Incumbent, asked: list[tuple[UserContext, set[str]]], size: int, disabled: set[str]
) -> None:
    limited = incumbent.showing([*set(IDS) - disabled, "newer"])
    slates = limited.recommend([c for c, _ in asked], size, [excluded for _, excluded in asked])
    assert len(slates) == len(asked)
    for slate, (_, excluded) in zip(slates, asked, strict=True):
        eligible = set(IDS) - disabled - excluded
        assert (
            len(slate.item_ids) == len(set(slate.item_ids)) == len(slate.scores) == min(size, len(eligible))
        )
        assert set(slate.item_ids) <= eligible


def test_what_is_not_shown_still_speaks_for_its_neighbours(incumbent: Incumbent, world: World) -> None:
    context = next(context for context in world[1] if len(context.item_ids) > 5)
    whole = incumbent.recommend([context], 5, [context.item_ids])
    assert incumbent.showing(set(IDS) - set(context.item_ids)).recommend([context], 5) == whole
    assert whole != incumbent.recommend([UserContext("stranger")], 5, [context.item_ids])
    assert incumbent.showing(IDS).popularity == incumbent.popularity
    assert incumbent.showing(["i003", "newer"]).popularity.item_ids == ("i003",)
    nothing = incumbent.showing([])
    assert nothing.recommend([context], 5)[0].item_ids == nothing.popularity.item_ids == ()


def test_a_batch_gives_what_single_requests_give(incumbent: Incumbent, world: World) -> None:
    some = world[1][-60:]
    assert incumbent.recommend(some, 5) == [incumbent.recommend([one], 5)[0] for one in some]


def test_finds_the_taste_that_popularity_cannot(incumbent: Incumbent, world: World) -> None:
    data, train_contexts = world
    category = dict(zip(data.items["item_id"].to_pylist(), data.items["category"].to_pylist(), strict=True))

    def share(slates: list) -> float:
        hits = [
            category[item] == f"c{int(one.user_id[1:]) % 3}"
            for one, slate in zip(last, slates, strict=True)
            for item in slate.item_ids
        ]
        return float(np.mean(hits))

    last = train_contexts[-30:]
    assert share(incumbent.popularity.recommend(last, 2)) < 0.5
    assert share(incumbent.recommend(last, 2)) > 0.7


def test_saved_and_loaded_recommends_the_same(incumbent: Incumbent, world: World, tmp_path: Path) -> None:
    incumbent.save(tmp_path / "baseline")
    loaded = Incumbent.load(tmp_path / "baseline")
    some = world[1][-50:]
    assert loaded.recommend(some, 5) == incumbent.recommend(some, 5)
    assert loaded.popularity == incumbent.popularity
    assert loaded.config == incumbent.config
    assert {path.suffix for path in (tmp_path / "baseline").iterdir()} == {
        ".parquet",
        ".safetensors",
        ".json",
    }


def test_same_seed_same_files(world: World, tmp_path: Path) -> None:
    data, train_contexts = world
    config = BaselineConfig(neighbours=5, candidates=10, unexposed=3, trees=5)
    for name in ("a", "b"):
        Incumbent.fit(data, train_contexts, config, seed=3).save(tmp_path / name)
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).iterdir()}
        for name in ("a", "b")
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", ["items.parquet", "neighbours.safetensors", "ranker.json", "baseline.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_damaged_files_are_refused(incumbent: Incumbent, tmp_path: Path, name: str, damage: str) -> None:
    incumbent.save(tmp_path / "baseline")
    path = tmp_path / "baseline" / name
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_text("[]")
    with pytest.raises(InputError, match=name.split(".")[0]):
        Incumbent.load(tmp_path / "baseline")


def test_parts_of_two_catalogues_do_not_load(incumbent: Incumbent, tmp_path: Path) -> None:
    data = prepared(items_table({"a": "x", "b": "y"}), [("u", "a", 0, 2)], [slate_row(0, "u", 0, ["a"], [2])])
    small = Incumbent.fit(data, [UserContext("u")], BaselineConfig(trees=1), seed=0)
    small.save(tmp_path / "small")
    incumbent.save(tmp_path / "large")
    (tmp_path / "small" / "neighbours.safetensors").replace(tmp_path / "large" / "neighbours.safetensors")
    with pytest.raises(InputError, match="has 2 items"):
        Incumbent.load(tmp_path / "large")


def test_smallest_world_still_serves() -> None:
    data = prepared(items_table({"a": "x", "b": "y"}), [("u", "a", 0, 2)], [slate_row(0, "u", 0, ["a"], [2])])
    fitted = Incumbent.fit(data, [UserContext("u")], BaselineConfig(trees=1), seed=0)
    assert set(fitted.recommend([UserContext("new")], 5)[0].item_ids) == {"a", "b"}


@pytest.mark.parametrize("count", [0, 1])
def test_contexts_must_match_the_training_slates(world: World, count: int) -> None:
    with pytest.raises(InputError, match=f"{count} contexts for 360 training slates"):
        Incumbent.fit(world[0], world[1][:count], BaselineConfig(), seed=0)


def test_training_labels_do_not_reach_the_features(world: World) -> None:
    """Flipping every label of the late slates leaves their features untouched."""
    data, train_contexts = world
    late = data.slates.slice(300)
    before = data.events.filter(pc.less(data.events["timestamp"], late["timestamp"][0]))
    assert pc.max(before["timestamp"]).as_py() < late["timestamp"][0].as_py()
    assert pc.min(before["timestamp"]).as_py() == START
    stages = Stages.fit(ItemArrays.of(data.items), before, 5)
    flipped = [[3 - level for level in levels] for levels in late["feedback"].to_pylist()]
    column = late.column_names.index("feedback")
    other = late.set_column(column, late.schema.field(column), pa.array(flipped, pa.list_(pa.int8())))
    first, second = (
        examples_of(stages, slates, train_contexts[300:], 20, 4, np.random.default_rng(0))
        for slates in (late, other)
    )
    assert np.array_equal(first.features, second.features, equal_nan=True)
    exposures = sum(len(ids) for ids in late["item_ids"].to_pylist())
    assert len(first.label) == exposures + 60 * 4
    assert first.label.sum() + second.label.sum() == exposures


def test_ranker_learns_on_slates_later_than_all_it_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, train_contexts = world
    given_to_ranker = {}

    def spy(stages: Stages, slates: pa.Table, contexts: list, *rest: object) -> object:
        given_to_ranker.update(stages=stages, slates=slates, contexts=contexts)
        return examples_of(stages, slates, contexts, *rest)

    monkeypatch.setattr("higr.baseline.incumbent.examples_of", spy)
    fitted = Incumbent.fit(data, train_contexts, BaselineConfig(trees=1), seed=0)
    first = given_to_ranker["slates"]["timestamp"][0]
    events = data.events
    earlier = pc.and_(pc.less(events["timestamp"], first), pc.greater_equal(events["feedback"], 2))
    assert given_to_ranker["stages"].engaged.sum() == pc.sum(earlier).as_py()
    assert fitted.stages.engaged.sum() == pc.sum(pc.greater_equal(events["feedback"], 2)).as_py()
    users = given_to_ranker["slates"]["user_id"].to_pylist()
    assert [one.user_id for one in given_to_ranker["contexts"]] == users
    assert len(users) == int(360 * 0.3)
