"""Content of an item as one vector of length 1, from what the embedded default can know of it.

Blocks: text, labels (category and tags), co-occurrence, numbers, and the items table's own
embedding. Each block but the numbers is L2-normalised, so that no block wins by its width; each
is weighted by `EmbeddingConfig`, all are concatenated and normalised again. The two numbers are
standardised and bounded instead: normalising a pair of them would keep only their ratio.

A new item has no co-occurrence and is placed by its content alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix

from higr.config import EmbeddingConfig
from higr.data.schemas import ITEMS
from higr.errors import InputError
from higr.files import atomic_file, read_json, write_json
from higr.tokenizer.attributes import GivenBlock, LabelBlock, NumericBlock
from higr.tokenizer.cooccurrence import CooccurrenceBlock
from higr.tokenizer.text import TextBlock

BLOCKS: dict[str, Any] = {
    "text": TextBlock,
    "labels": LabelBlock,
    "cooccurrence": CooccurrenceBlock,
    "numeric": NumericBlock,
    "given": GivenBlock,
}
STATE, ARRAYS = "content.json", "content.safetensors"


def normalise(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of zeros stay zeros."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1.0), dtype=np.float32)


@dataclass(frozen=True)
class ContentEmbedder:
    """The fitted blocks. `transform` gives the same vectors before `save` and after `load`."""

    config: EmbeddingConfig
    text: TextBlock
    labels: LabelBlock
    cooccurrence: CooccurrenceBlock
    numeric: NumericBlock
    given: GivenBlock

    @classmethod
    def fit(cls, items: pa.Table, counts: csr_matrix, config: EmbeddingConfig, seed: int) -> Self:
        """Learn vocabularies, projections and scales.

        items: `ITEMS`, N rows.
        counts: (N, N) pair counts of training events (`cooccurrence.count_pairs`), in row order.

        Raises:
            InputError: another schema, or no rows.
        """
        _check(items)
        ids = items["item_id"].to_pylist()
        return cls(
            config,
            TextBlock.fit(
                _texts(items), config.text_dim if config.text_weight else 0, config.max_ngrams, seed
            ),
            LabelBlock.fit(items, config.max_labels if config.category_weight else 0),
            CooccurrenceBlock.fit(
                counts, ids, config.cooccurrence_dim if config.cooccurrence_weight else 0, seed
            ),
            NumericBlock.fit(items),
            GivenBlock.fit(items) if config.given_weight else GivenBlock(0),
        )

    def transform(self, items: pa.Table) -> np.ndarray:
        """(N, width) float32, rows of length 1; an item of which nothing is known is all zeros.

        Raises:
            InputError: another schema, or a bad embedding (the item is named).
        """
        _check(items)
        weights = self.config
        ids = items["item_id"].to_pylist()
        parts: list[tuple[float, Callable[[], np.ndarray]]] = [
            (weights.text_weight, lambda: normalise(self.text.transform(_texts(items)))),
            (weights.category_weight, lambda: normalise(self.labels.transform(items))),
            (weights.cooccurrence_weight, lambda: normalise(self.cooccurrence.transform(ids))),
            (weights.numeric_weight, lambda: self.numeric.transform(items)),
            (weights.given_weight, lambda: normalise(self.given.transform(items))),
        ]
        return normalise(np.hstack([weight * block() for weight, block in parts if weight > 0]))

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """All that was learnt: JSON values and arrays, the arrays named `block.name`."""
        meta: dict[str, Any] = {"config": self.config.model_dump(mode="json")}
        arrays: dict[str, np.ndarray] = {}
        for name in BLOCKS:
            meta[name], own = getattr(self, name).state()
            arrays |= {f"{name}.{key}": np.ascontiguousarray(value) for key, value in own.items()}
        return meta, arrays

    def save(self, directory: Path) -> None:
        """Write `content.json` and `content.safetensors`."""
        meta, arrays = self.state()
        write_json(directory / STATE, meta)
        with atomic_file(directory / ARRAYS) as aside:
            save_file(arrays, aside)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: a file is missing or unreadable.
        """
        meta = read_json(directory / STATE)
        arrays = read_arrays(directory / ARRAYS)
        blocks = {}
        for name, block in BLOCKS.items():
            own = {
                key.removeprefix(f"{name}."): value
                for key, value in arrays.items()
                if key.startswith(f"{name}.")
            }
            blocks[name] = block.from_state(meta[name], own)
        return cls(EmbeddingConfig.model_validate(meta["config"]), **blocks)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file; InputError if it is missing or damaged."""
    try:
        return dict(load_file(path))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run `higr tokenize` first") from None
    except Exception as error:  # safetensors raises its own SafetensorError, not exported for numpy
        raise InputError(
            f"{path} is not a readable safetensors file ({error}); run `higr tokenize` again"
        ) from None


def _texts(items: pa.Table) -> list[str]:
    return [text or "" for text in items["text"].to_pylist()]


def _check(items: pa.Table) -> None:
    if items.num_rows == 0:
        raise InputError("items: the table is empty; the tokenizer needs items")
    if not items.schema.equals(ITEMS):
        raise InputError(
            f"items: columns are {items.schema.names}; validate the table against {ITEMS.names} first"
        )
