"""Run: pytest tests/align"""

import math

import numpy as np
import pytest
import torch

from higr.align.rewards import SimulatedWatch, coverage, order_ndcg
from higr.catalog import Catalog
from higr.config import SimulatorConfig
from higr.data.simulator import World
from higr.errors import InputError
from higr.evaluation.metrics import ndcg, recall
from higr.training.targets import PADDING

POSITIVE = torch.tensor([[3, 7, 5], [2, PADDING, PADDING], [PADDING] * 3])
SLATES = torch.tensor(
    [
        [[7, 3, 9, 8], [9, 8, 1, 0], [5, 7, 3, PADDING]],
        [[2, 1, 0, 9], [0, 1, 9, 2], [PADDING] * 4],
        [[1, 2, 3, 4], [PADDING] * 4, [0, 1, 2, 3]],
    ]
)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SimulatorConfig(users=6, items=20), seed=1)


@pytest.fixture(scope="module")
def catalog(world: World) -> Catalog:
    ids = world.items.table["item_id"].to_pylist()
    return Catalog.build(ids[::-1], np.array([[i // 5, i % 5] for i in range(20)]), 5)


def test_coverage_by_hand_and_in_any_order() -> None:
    found = coverage(SLATES, POSITIVE)
    torch.testing.assert_close(found, torch.tensor([[2 / 3, 0, 1], [1, 1, 0], [0, 0, 0]]))
    assert torch.equal(coverage(SLATES.flip(2), POSITIVE), found)


def test_order_by_hand() -> None:
    """Gains 3, 2, 1 of the first positive."""
    found = order_ndcg(SLATES, POSITIVE)
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert found[0].tolist() == pytest.approx(
        [(2 + 3 / math.log2(3)) / ideal, 0, (1 + 2 / math.log2(3) + 3 / 2) / ideal]
    )
    assert found[1].tolist() == pytest.approx([1, 1 / math.log2(5), 0])
    assert found[2].tolist() == [0, 0, 0]


def test_rewards_equal_the_metrics_of_evaluation() -> None:
    rng = np.random.default_rng(0)
    items = np.stack([rng.permutation(8)[:4] for _ in range(40)])
    positive = np.stack([rng.permutation(8)[:3] for _ in range(40)])
    gain = np.array(
        [
            [{p: 3 - r for r, p in enumerate(ps)}.get(i, 0) for i in row]
            for row, ps in zip(items, positive, strict=True)
        ],
        dtype=float,
    )
    slates, wanted = torch.from_numpy(items)[:, None], torch.from_numpy(positive)
    assert coverage(slates, wanted)[:, 0].numpy() == pytest.approx(recall(gain > 0, np.full(40, 3)))
    due = ndcg(gain, np.tile([3.0, 2.0, 1.0], (40, 1)))
    assert order_ndcg(slates, wanted)[:, 0].numpy() == pytest.approx(due)


def test_simulated_watch_is_the_worlds_own_in_minutes(world: World, catalog: Catalog) -> None:
    users = world.users.table["user_id"].to_pylist()
    watch = SimulatedWatch(world, catalog, users[:2], held_out=users[2:])
    slates = torch.tensor([[[4, 9, 1], [3, PADDING, PADDING]], [[0, 1, 2], [PADDING] * 3]])
    for training, own in ((True, users[:2]), (False, users[2:])):
        found = watch(slates, torch.tensor([1, 0]), training=training)
        for row, user in enumerate((own[1], own[0])):
            for column in range(2):
                ids = [catalog.item_ids[i] for i in slates[row, column].tolist() if i != PADDING]
                due = world.expected_watch(user, ids) / 60
                assert found[row, column].item() == pytest.approx(due, rel=1e-5)


def test_an_example_without_a_user_and_an_item_of_another_world(world: World, catalog: Catalog) -> None:
    watch = SimulatedWatch(world, catalog, ["u0000000"])
    slates = torch.zeros((1, 1, 1), dtype=torch.int64)
    assert watch(slates, torch.tensor([-1]), training=True).shape == (1, 1)  # fills up a batch
    with pytest.raises(InputError, match="training example 1 has no user: 1 users are known"):
        watch(slates, torch.tensor([1]), training=True)
    with pytest.raises(InputError, match="no item 'x' in this world"):
        SimulatedWatch(world, Catalog.build(["x"], np.zeros((1, 2), int), 5), ["u0000000"])
