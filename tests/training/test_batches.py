"""Run: pytest tests/training"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from higr.errors import InputError
from higr.training.batches import WINDOW, Batches, InMemory
from higr.training.examples import Examples
from higr.training.targets import PADDING, Targets
from tests.training.tiny import SLATE, examples


def rows(batches: Batches, epoch: int = 1, skip: int = 0) -> list[list[int]]:
    return [batch.targets.rows.tolist() for batch in batches.epoch(epoch, skip)]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(8, 70),
    share=st.integers(1, 3),
    processes=st.sampled_from([1, 2, 4, 8]),
    epoch=st.integers(1, 5),
)
def test_any_number_of_processes_sees_the_same_batches_and_every_row_once(
    count: int, share: int, processes: int, epoch: int
) -> None:
    source, size = InMemory(examples(count), 8), 8 * share
    alone = rows(Batches(source, size, seed=3), epoch)
    together = [
        rows(Batches(source, size, seed=3, rank=rank, processes=processes), epoch)
        for rank in range(processes)
    ]
    assert [sorted(batch) for batch in alone] == [
        sorted(row for part in parts for row in part) for parts in zip(*together, strict=True)
    ]
    assert sorted(row for batch in alone for row in batch if row >= 0) == list(range(count))
    assert {len(batch) for batch in alone} == {size}


def test_rows_bring_their_own_context_and_target() -> None:
    data = examples(21)
    for batch in Batches(InMemory(data, 4), 8, seed=0).epoch(1):
        width = batch.targets.items.shape[1]
        for place, row in enumerate(batch.targets.rows.tolist()):
            if row >= 0:
                assert batch.contexts.items[place].tolist() == data.contexts.items[row].tolist()
                items = batch.targets.items[place].tolist() + [PADDING] * (SLATE - width)
                assert items == data.targets.items[row].tolist()


@pytest.mark.parametrize("shards", [1, 4])
def test_targets_of_one_length_meet_and_a_batch_is_cut_at_its_longest(shards: int) -> None:
    data = examples(8 * WINDOW)
    batches = list(Batches(InMemory(data, shards), 8, seed=0).epoch(1))
    lengths = [(batch.targets.items != PADDING).sum(dim=1) for batch in batches]
    assert [batch.targets.items.shape[1] for batch in batches] == [int(part.max()) for part in lengths]
    mixed = [part for part in lengths if part.min() < part.max()]
    assert len(mixed) <= shards * (SLATE - 1)  # where a shard's rows of one length end
    widths = [int(part.max()) for part in lengths]
    assert sorted(widths) != widths  # not the short ones first


def test_pairs_of_slates_are_cut_at_the_longer_one() -> None:
    data = examples(9)
    items = torch.full((9, 2, SLATE), PADDING)
    items[:, 0, :1], items[:, 1, :2] = 3, 4
    pairs = Examples(data.contexts, Targets(data.targets.rows, items))
    batches = [batch.targets.items for batch in Batches(InMemory(pairs, 1), 4, seed=0).epoch(1)]
    assert {part.shape for part in batches} == {(4, 2, 2)}
    assert sum(int((part == 4).sum()) for part in batches) == 18


def test_the_last_batch_is_filled_up_with_rows_that_have_no_target() -> None:
    *_, last = Batches(InMemory(examples(9), 1), 8, seed=None).epoch(1)
    assert last.targets.rows.tolist() == [8, *[-1] * 7]
    assert (last.targets.items[1:] == PADDING).all()
    assert last.contexts.items.min() >= PADDING


def test_the_order_changes_with_seed_and_epoch_and_nothing_else() -> None:
    source = InMemory(examples(64), 4)
    first = rows(Batches(source, 8, seed=0), 1)
    assert rows(Batches(source, 8, seed=0), 1) == first
    assert rows(Batches(source, 8, seed=0), 2) != first != rows(Batches(source, 8, seed=1), 1)
    assert rows(Batches(source, 8, seed=0), 1, skip=5) == first[5:]


def test_without_a_seed_rows_stay_in_order() -> None:
    assert rows(Batches(InMemory(examples(6), 1), 4, seed=None), 3) == [[0, 1, 2, 3], [4, 5, -1, -1]]


def test_a_batch_is_named_by_its_rows_over_all_processes() -> None:
    source = InMemory(examples(21), 4)
    for rank in range(2):
        batches = Batches(source, 8, seed=0, rank=rank, processes=2)
        named = [batches.rows(2, batch) for batch in range(3)]
        assert named == [sorted(r for r in b if r >= 0) for b in rows(Batches(source, 8, seed=0), 2)]


@pytest.mark.parametrize(
    ("count", "size", "processes", "message"),
    [
        (20, 8, 3, "4 shards cannot be shared by 3 processes; start a number of processes that divides 4"),
        (20, 6, 2, "batch_size 6 is not a multiple of the 4 shards; make it 8"),
        (3, 8, 1, "3 examples are fewer than the 4 shards"),
    ],
)
def test_what_cannot_be_shared_is_refused(count: int, size: int, processes: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Batches(InMemory(examples(count), 4), size, seed=0, processes=processes)


def test_the_fingerprint_follows_the_data() -> None:
    one, same, other = (InMemory(examples(9, seed=seed), 1).fingerprint for seed in (0, 0, 1))
    assert one == same != other


def test_padding_rows_have_contexts_a_model_can_read() -> None:
    *_, last = Batches(InMemory(examples(9), 1), 8, seed=0).epoch(1)
    assert torch.isin(last.contexts.feedback, torch.arange(4, dtype=torch.int8)).all()
