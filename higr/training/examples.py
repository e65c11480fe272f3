"""Training examples: a context and the slate that was the answer to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.config import ModelConfig, RunConfig
from higr.data.context import HistoryIndex
from higr.data.prepared import PreparedData
from higr.data.situation import situations_of
from higr.model.inputs import ContextBatch, ProfileVocabulary, encode_contexts
from higr.training.targets import Targets, build_targets


@dataclass(frozen=True)
class Examples:
    """Attributes:
    contexts: one row a target.
    targets: what to generate.
    """

    contexts: ContextBatch
    targets: Targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, rows: Tensor | slice) -> Self:
        return self.map(lambda tensor: tensor[rows])

    def columns(self) -> dict[str, Tensor]:
        """Every tensor by name, rows first."""
        contexts = {f"context_{f.name}": getattr(self.contexts, f.name) for f in fields(self.contexts)}
        return {**contexts, "target_rows": self.targets.rows, "target_items": self.targets.items}

    @classmethod
    def of(cls, columns: Mapping[str, Tensor]) -> Self:
        """What `columns` took apart."""
        contexts = {f.name: columns[f"context_{f.name}"] for f in fields(ContextBatch)}
        return cls(ContextBatch(**contexts), Targets(columns["target_rows"], columns["target_items"]))

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """All rows of all parts."""
        tables = [part.columns() for part in parts]
        return cls.of({name: torch.cat([table[name] for table in tables]) for name in tables[0]})

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same change to every tensor: copied to a device, ..."""
        return self.of({name: change(tensor) for name, tensor in self.columns().items()})


def fit_profiles(data: PreparedData, history: HistoryIndex, config: ModelConfig) -> ProfileVocabulary:
    """Fields and values of the users and requests of the training period."""
    users = pc.unique(data.train_events["user_id"]).to_pylist()
    return ProfileVocabulary.fit(
        (history.profiles[history.users[user]] for user in users),
        situations_of(data.split("train")) if config.situation else (),
    )


def build_examples(
    slates: pa.Table, history: HistoryIndex, catalog: Catalog, profiles: ProfileVocabulary, config: RunConfig
) -> Examples:
    """Targets of `slates` with the contexts strictly before them."""
    targets = build_targets(slates, catalog, config.training)
    contexts = history.contexts(slates.take(pa.array(targets.rows.numpy())))
    return Examples(encode_contexts(contexts, catalog, profiles, config.model), targets)
