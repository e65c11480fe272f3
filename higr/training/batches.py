"""Which rows make a batch: an order that does not depend on how many processes share the work.

The rows of the data are dealt to S shards in turn: row i is row i // S of shard i % S. A batch takes
batch_size / S rows from every shard, each shard in an order of its own, drawn from (seed, epoch,
shard). Rank r of W reads the shards r, r + W, ... So the batches are the same for every W that
divides S, nobody reads what another process trains on, and a place in the order is two numbers:
epoch and batch.

Targets differ in length, and what is behind a target's end costs as much as the target. So the shuffled
rows are sorted by length inside a window of many batches, the window's batches are shuffled again, and a
process cuts its part of a batch at the longest target there.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from higr.errors import InputError
from higr.training.examples import Examples
from higr.training.fingerprint import fingerprint
from higr.training.targets import PADDING, Targets

WINDOW = 64
"""Batches whose rows are sorted by the length of their targets together."""


class Source(Protocol):
    """Examples by shard, in memory or on disk."""

    @property
    def shards(self) -> int:
        """S."""

    def __len__(self) -> int:
        """Rows of all shards."""

    @property
    def fingerprint(self) -> str:
        """Changes when the data does."""

    def shard(self, number: int) -> Examples:
        """Rows number, number + S, ... of the data."""


@dataclass(frozen=True)
class InMemory:
    """Examples that are few enough to stay in memory, in the same order as on disk."""

    examples: Examples
    shards: int

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.examples.columns().values())

    def shard(self, number: int) -> Examples:
        return self.examples[number :: self.shards]


class Batches:
    """The batches of one process.

    Args:
        source: where examples come from; this process's shards are held in memory.
        batch_size: rows a batch over all processes. The last batch of an epoch is filled up with rows
            that have no target.
        rank, processes: r and W.
        seed: of the order; None leaves the rows as they are, unsorted.

    Raises:
        InputError: W does not divide S, or S the batch size, or there are fewer rows than shards.
    """

    def __init__(
        self, source: Source, batch_size: int, *, rank: int = 0, processes: int = 1, seed: int | None
    ) -> None:
        if source.shards % processes:
            raise InputError(
                f"{source.shards} shards cannot be shared by {processes} processes; "
                f"start a number of processes that divides {source.shards}, or write other shards "
                "(training.shards)"
            )
        if batch_size % source.shards:
            raise InputError(
                f"batch_size {batch_size} is not a multiple of the {source.shards} shards; "
                f"make it {math.ceil(batch_size / source.shards) * source.shards}"
            )
        if len(source) < source.shards:
            raise InputError(
                f"{len(source)} examples are fewer than the {source.shards} shards; lower training.shards, "
                "or write fewer"
            )
        self.seed, self._source = seed, source
        self._rows, self._shards = len(source), source.shards
        self._share = batch_size // source.shards  # rows of a shard in a batch
        self._mine = range(rank, source.shards, processes)
        parts = [source.shard(number) for number in self._mine]
        self._examples = parts[0] if len(parts) == 1 else Examples.concatenate(parts)
        starts = np.cumsum([0, *(len(part) for part in parts)])
        self._starts = dict(zip(self._mine, starts.tolist(), strict=False))
        lengths = (_lengths(part.targets.items) for part in parts)
        self._lengths = dict(zip(self._mine, lengths, strict=True))

    def __len__(self) -> int:
        """Batches an epoch."""
        return math.ceil(self._rows / (self._share * self._shards))

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Examples]:
        """The batches of an epoch after the first `skip`; `targets.rows` are row numbers of the data.

        Targets are as long as the longest of a batch's own part, at least one item.
        """
        numbers = np.concatenate([self._order(epoch, shard) for shard in self._mine], axis=1)
        starts = np.repeat([self._starts[shard] for shard in self._mine], self._share)
        places = torch.from_numpy(np.where(numbers < 0, 0, starts + numbers // self._shards))
        for batch in range(skip, len(self)):
            rows = torch.from_numpy(numbers[batch])
            chosen = self._examples[places[batch]]
            items = chosen.targets.items.clone()
            items[rows < 0] = PADDING
            longest = max(1, int(_lengths(items).max()))
            yield Examples(chosen.contexts, Targets(rows, items[..., :longest].contiguous()))

    def rows(self, epoch: int, batch: int) -> list[int]:
        """Row numbers of one batch over all processes, ascending."""
        numbers = np.concatenate([self._order(epoch, shard)[batch] for shard in range(self._shards)])
        return sorted(numbers[numbers >= 0].tolist())

    def _order(self, epoch: int, shard: int) -> np.ndarray:
        """(batches, share) row numbers of the data, -1 behind the shard's end."""
        own = np.arange(shard, self._rows, self._shards)
        numbers = np.full((len(self), self._share), -1)
        if self.seed is None:
            numbers.flat[: len(own)] = own
            return numbers
        numbers.flat[: len(own)] = np.random.default_rng([self.seed, epoch, shard]).permutation(own)
        lengths = self._lengths.get(shard)
        if lengths is None:  # another process's
            lengths = _lengths(self._source.shard(shard).targets.items)
        # The same for all shards, so that rows of one length meet.
        batches = np.random.default_rng([self.seed, epoch, self._shards]).permutation(WINDOW)
        for start in range(0, len(self), WINDOW):
            window = numbers[start : start + WINDOW]
            places = np.where(window < 0, 0, window // self._shards)
            order = np.argsort(np.where(window < 0, np.inf, lengths[places]), axis=None, kind="stable")
            window[:] = window.flat[order].reshape(window.shape)[batches[batches < len(window)]]
        return numbers


def _lengths(items: Tensor) -> np.ndarray:
    """(rows,) length of each row of (rows, M) items, or of its longest slate where they are (rows, 2, M)."""
    return (items != PADDING).sum(dim=-1).reshape(len(items), -1).amax(dim=1).numpy()
