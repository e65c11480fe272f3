"""From user contexts to tensors: history as catalogue positions, profile fields as indices."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.data.schemas import Feedback
from higr.slate import UserContext

PADDING = -1


@dataclass(frozen=True)
class ProfileVocabulary:
    """Indices of (field, value) pairs of users and requests; a field's index 0 is for every other value.

    Attributes:
        fields: field to its values, in the order of their indices from 1.
    """

    fields: Mapping[str, tuple[str, ...]]

    @classmethod
    def fit(
        cls,
        profiles: Iterable[Mapping[str, str]],
        situations: Iterable[Mapping[str, str]] = (),
        min_count: int = 10,
    ) -> "ProfileVocabulary":
        """Keep values that at least `min_count` users or requests have: rare ones could name a person."""
        counts = Counter(pair for profile in profiles for pair in profile.items())
        counts.update(pair for situation in situations for pair in _of_request(situation).items())
        kept = sorted(pair for pair, count in counts.items() if count >= min_count)
        names = sorted({name for name, _ in kept})
        return cls({name: tuple(v for n, v in kept if n == name) for name in names})

    @property
    def size(self) -> int:
        """Rows of the embedding table."""
        return sum(len(values) + 1 for values in self.fields.values())

    def encode(self, context: UserContext) -> list[int]:
        """One index a field, offset so that all fields share one table."""
        facts = {**context.profile, **_of_request(context.situation)}
        indices, offset = [], 0
        for name, values in self.fields.items():
            value = facts.get(name)
            indices.append(offset + (values.index(value) + 1 if value in values else 0))
            offset += len(values) + 1
        return indices


def _of_request(situation: Mapping[str, str]) -> dict[str, str]:
    """Under names that no field of a profile has."""
    return {f"request: {name}": value for name, value in situation.items()}


@dataclass(frozen=True)
class ContextBatch:
    """Contexts as tensors; the newest event is the last column.

    Attributes:
        items: (B, H) int32 catalogue positions, PADDING on the left.
        feedback: (B, H) int8 feedback levels, 0 where padded.
        profile: (B, P) int32 indices of `ProfileVocabulary`.
    """

    items: Tensor
    feedback: Tensor
    profile: Tensor

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rows: Tensor | slice) -> "ContextBatch":
        return ContextBatch(self.items[rows], self.feedback[rows], self.profile[rows])


def encode_contexts(
    contexts: Sequence[UserContext], catalog: Catalog, profiles: ProfileVocabulary, config: ModelConfig
) -> ContextBatch:
    """The last H events of each context whose item is in the catalogue (and engaged, if so configured)."""
    length = config.history_length
    least = Feedback.ENGAGED if config.history == "engaged" else Feedback.NEGATIVE
    items = torch.full((len(contexts), length), PADDING, dtype=torch.int32)
    feedback = torch.zeros((len(contexts), length), dtype=torch.int8)
    profile = torch.empty((len(contexts), len(profiles.fields)), dtype=torch.int32)
    position = catalog.position
    for row, context in enumerate(contexts):
        kept = [
            (position[item], level)
            for item, level in zip(context.item_ids, context.feedback, strict=True)
            if level >= least and item in position
        ][-length:]
        if kept:
            history = torch.tensor(kept)
            items[row, -len(kept) :] = history[:, 0]
            feedback[row, -len(kept) :] = history[:, 1]
        profile[row] = torch.tensor(profiles.encode(context), dtype=torch.int32)
    return ContextBatch(items, feedback, profile)
