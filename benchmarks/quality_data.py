"""The public data sets that slates are judged on, made ready once and kept in a folder.

    kuairand   short videos with exposures and long views; slates are chunks of consecutive exposures
    beauty     Amazon purchases (2014); slates are chunks of consecutive purchases, all engaged

Models train on chunks of ten and are tested on chunks of five and of ten of the same period; the incumbent,
which judges one exposure at a time, trains on the same exposures as chunks of five, which suits it better:
their contexts are nearer. Most users of beauty have bought less than ten things, and a chunk that begins
with the first purchase has no history to learn from: there, models train on `windows`. The split is by time
for both. Every seed has semantic IDs of its own; all models of a seed share them.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

import higr
from higr import stages
from higr.catalog import Catalog
from higr.config import RunConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.data.schemas import SLATES
from higr.evaluation.held_out import HeldOut
from higr.tokenizer.tokenizer import Tokenizer

LENGTHS = (5, 10)
STRIDE = 4
"""Purchases between the starts of two windows of a user."""
DATA: dict[str, dict[str, Any]] = {
    "kuairand": {
        "data": {
            "source": "kuairand",
            "engagement": {"effective_view": "long_view"},
            "validation_start": "2022-04-27T16:00:00Z",
            "test_start": "2022-04-30T16:00:00Z",
        },
    },
    "beauty": {
        "data": {
            "source": "amazon",
            "engagement": {"effective_view": "clicked"},
            "validation_start": "2014-03-07T00:00:00Z",
            "test_start": "2014-05-13T00:00:00Z",
        },
        "model": {"dropout": 0.2},
    },
}
"""Sections of each configuration. Beauty is small enough to be learnt by heart: its models have dropout."""
BASE = {"width": 64, "heads": 2, "feedforward": 172, "dropout": 0.0}
"""HiGR's sizes beside its usual layers: 0.4 million parameters, as large as two cores train in hours. In two
epochs nothing is learnt by heart, so dropout only slows; `benchmarks.quality_tries` has a row with it."""
PATHS = {"kuairand": "kuairand_pure", "beauty": "amazon/amazon2014-beauty"}


def configuration(name: str, data: Path, changes: dict[str, dict[str, Any]]) -> RunConfig:
    """Of one data set: `changes` by section, then field, over what all data sets share."""
    document: dict[str, dict[str, Any]] = {
        "data": {
            "slates": "chunk",
            "slate_size": 10,
            "min_slate_size": 2,
            "path": str(data / PATHS[name]),
        },
        "tokenizer": {"codebook_size": 64},
        "model": {**BASE, "history_length": 32, "history": "engaged"},
        "training": {"target_size": 10},
        "evaluation": {"k": 10},
    }
    for part in (DATA[name], changes):
        for section, fields in part.items():
            document[section] = {**document.get(section, {}), **fields}
    return RunConfig.model_validate(document)


def digest(*parts: Any) -> str:
    """Twelve digits that change when anything in `parts` (JSON) or in the library's code does."""
    sha = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
    for path in sorted(Path(higr.__file__).parent.rglob("*.py")):
        sha.update(path.read_bytes())
    return sha.hexdigest()[:12]


@dataclass(frozen=True)
class Prepared:
    """A data set in its folder. Names of files hold a digest of all that they were made from."""

    name: str
    folder: Path
    config: RunConfig

    def make(self, seeds: Iterable[int], workers: int = 1) -> None:
        """Whatever is not there yet; semantic IDs of several seeds at once."""
        for size in LENGTHS:
            if not self._data(size).is_dir():
                section = self.config.data.model_copy(update={"slate_size": size})
                stages.prepare(self.config.model_copy(update={"data": section}), self._data(size))
        missing = [seed for seed in seeds if not self._tokens(seed).is_dir()]
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), one_thread) as pool:
            list(pool.map(self.tokenize, missing))

    def tokenize(self, seed: int) -> None:
        """Semantic IDs of one seed."""
        config = self.config.model_copy(update={"seed": seed})
        stages.tokenize(config, self._data(10), self._tokens(seed), cache=self.folder / "cache")

    @cached_property
    def training(self) -> PreparedData:
        """Slates of ten."""
        data = PreparedData.load(self._data(10))
        return windows(data, longest=10) if self.name == "beauty" else data

    @cached_property
    def short(self) -> PreparedData:
        """The same exposures as slates of five."""
        return PreparedData.load(self._data(5))

    @cached_property
    def history(self) -> HistoryIndex:
        return HistoryIndex.build(self.training.events, self.training.users, self.config.data)

    def catalog(self, seed: int) -> Catalog:
        return Catalog.load(self._tokens(seed) / "catalog.parquet")

    def tokenizer(self, seed: int) -> Tokenizer:
        return Tokenizer.load(self._tokens(seed) / "tokenizer")

    def test_set(self, split: str, size: int, catalog: Catalog, most: int) -> HeldOut:
        """Slates of `validation` or `test`, at most `most` of them.

        Of exactly `size` exposures; purchases are fewer, so there two are enough.
        """
        data = self.training if size == LENGTHS[-1] else self.short
        slates = data.split(split)
        section = self.config.evaluation.model_copy(
            update={"k": size, "min_exposed": size if self.name == "kuairand" else 1, "max_slates": most}
        )
        return HeldOut.draw(
            slates,
            self.history.contexts(slates),
            data.items,
            section,
            seed=0,
            training=data.train_events,
            catalog=catalog,
        )

    @property
    def results(self) -> Path:
        return self.folder / f"results-{digest(self.config.model_dump(mode='json'))}"

    def _data(self, size: int) -> Path:
        return self.folder / f"data-{size}-{digest(self.config.data.model_dump(mode='json'))}"

    def _tokens(self, seed: int) -> Path:
        sections = (self.config.data, self.config.tokenizer)
        made_of = digest(*(section.model_dump(mode="json") for section in sections))
        return self.folder / f"tokens-{seed}-{made_of}"


def windows(data: PreparedData, longest: int) -> PreparedData:
    """With other training slates: what a user bought from the second purchase on, from the sixth, and so on,
    the next `longest` distinct items each, at least two."""
    events = data.train_events
    users = events["user_id"].to_pylist()
    starts = [row for row, user in enumerate(users) if row == 0 or users[row - 1] != user]
    taken, lengths = [], []
    for start, end in zip(starts, [*starts[1:], len(users)], strict=True):
        items = events["item_id"][start:end].to_pylist()
        for first in range(1, end - start - 1, STRIDE):
            distinct = {item: first + place for place, item in reversed(list(enumerate(items[first:])))}
            rows = sorted(distinct.values())[:longest]
            if len(rows) > 1:
                taken += [start + row for row in rows]
                lengths.append(len(rows))
    rows_taken = events.take(pa.array(taken))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    firsts = rows_taken.take(pa.array(offsets[:-1]))
    columns = {
        "slate_id": [f"{row}/window" for row in np.array(taken)[offsets[:-1]]],
        "user_id": firsts["user_id"],
        "timestamp": firsts["timestamp"],
        "history_cutoff": firsts["timestamp"],
        "split": ["train"] * len(firsts),
        "item_ids": _lists(offsets, rows_taken["item_id"]),
        **{
            name: _lists(offsets, rows_taken[name].cast(SLATES.field(name).type.value_type))
            for name in ("watch_seconds", "strength", "feedback")
        },
        "surface": pa.nulls(len(firsts), pa.string()),
    }
    made = pa.table(columns, schema=SLATES)
    rest = data.slates.filter(pc.not_equal(data.slates["split"], "train"))
    return replace(
        data,
        slates=pa.concat_tables([made, rest]).sort_by(
            [("timestamp", "ascending"), ("slate_id", "ascending")]
        ),
    )


def _lists(offsets: np.ndarray, values: pa.ChunkedArray) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets), values.combine_chunks())


def one_thread() -> None:
    """Of a process beside others."""
    torch.set_num_threads(1)
