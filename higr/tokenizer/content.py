"""Content of an item as one vector of length 1.

Blocks: text, enrichment (further text, embedded the same way, with a vocabulary and a weight of its
own), labels (category and tags), co-occurrence, numbers, and the items table's own embedding. Each
block but the numbers is L2-normalised, so that no block wins by its width; each is weighted by
`EmbeddingConfig`, all are concatenated and normalised again. The two numbers are standardised and
bounded instead: normalising a pair of them would keep only their ratio.

A new item has no co-occurrence and is placed by its content alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix

from higr.config import EmbeddingConfig
from higr.data.schemas import ITEMS
from higr.errors import InputError
from higr.files import atomic_file, read_json, write_json
from higr.tokenizer.attributes import GivenBlock, LabelBlock, NumericBlock
from higr.tokenizer.cooccurrence import CooccurrenceBlock
from higr.tokenizer.sentence import SentenceBlock
from higr.tokenizer.text import TextBlock

WEIGHTS = {
    "text": "text_weight",
    "enrichment": "enrichment_weight",
    "labels": "category_weight",
    "cooccurrence": "cooccurrence_weight",
    "numeric": "numeric_weight",
    "given": "given_weight",
}
"""The blocks, in the order of their columns, and the field of `EmbeddingConfig` that weights each."""

STATE, ARRAYS = "content.json", "content.safetensors"

SAMPLE = 200_000
"""Items, evenly spaced, that text vocabularies and projections are fitted on: more cost memory and
hours, and change neither n-grams nor directions by much."""

BLOCK = 8192
"""Items embedded at once: what memory a transform takes beside its result."""


def normalise(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of zeros stay zeros."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1.0), dtype=np.float32)


@dataclass(frozen=True)
class ContentEmbedder:
    """The fitted blocks. `transform` gives the same vectors before `save` and after `load`."""

    config: EmbeddingConfig
    text: TextBlock | SentenceBlock
    enrichment: TextBlock | SentenceBlock
    labels: LabelBlock
    cooccurrence: CooccurrenceBlock
    numeric: NumericBlock
    given: GivenBlock

    @classmethod
    def fit(
        cls,
        items: pa.Table,
        counts: csr_matrix,
        config: EmbeddingConfig,
        seed: int,
        batches: Iterable[pa.Table] | None = None,
    ) -> Self:
        """Learn vocabularies, projections and scales.

        items: `ITEMS`, N rows.
        counts: (N, N) pair counts of the training period (`cooccurrence.count_pairs`), in row order.
        batches: the same items with their embeddings, where `items` comes without; none: `items`.

        Raises:
            InputError: another schema, no rows, an item id twice, or a text model that cannot be used.
        """
        _check(items)
        _check_unique(items)
        return cls(
            config,
            _fit_text(items, "text", config.text_weight, config, seed),
            _fit_text(items, "enrichment", config.enrichment_weight, config, seed),
            LabelBlock.fit(items, config.max_labels if config.category_weight else 0),
            CooccurrenceBlock.fit(
                counts,
                items["item_id"].to_pylist(),
                config.cooccurrence_dim if config.cooccurrence_weight else 0,
                seed,
                SAMPLE,
            ),
            NumericBlock.fit(items),
            GivenBlock.fit([items] if batches is None else batches) if config.given_weight else GivenBlock(0),
        )

    @cached_property
    def spans(self) -> dict[str, slice]:
        """The columns of each block that has a weight; an absent block has none, or an empty span."""
        spans, start = {}, 0
        for name, weight in WEIGHTS.items():
            if getattr(self.config, weight) > 0:
                spans[name] = slice(start, start + getattr(self, name).width)
                start = spans[name].stop
        return spans

    @property
    def width(self) -> int:
        return max(span.stop for span in self.spans.values())

    def transform(self, items: pa.Table) -> np.ndarray:
        """(N, width) float32, rows of length 1; an item of which nothing is known is all zeros.

        Works in blocks: beside the result, memory does not grow with N.

        Raises:
            InputError: another schema, or a bad embedding (the item is named).
        """
        _check(items)
        out = np.empty((items.num_rows, self.width), np.float32)
        for start in range(0, items.num_rows, BLOCK):
            out[start : start + BLOCK] = self._embed(items.slice(start, BLOCK))
        return out

    def _embed(self, items: pa.Table) -> np.ndarray:
        rows = np.empty((items.num_rows, self.width), np.float32)
        for name, span in self.spans.items():
            block = getattr(self, name)
            part = block.transform(_texts(items, name) if name in ("text", "enrichment") else items)
            if name != "numeric":
                part = normalise(part)
            rows[:, span] = getattr(self.config, WEIGHTS[name]) * part
        return normalise(rows)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """All that was learnt: JSON values and arrays, the arrays named `block.name`."""
        meta: dict[str, Any] = {"config": self.config.model_dump(mode="json")}
        arrays: dict[str, np.ndarray] = {}
        for name in WEIGHTS:
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
        if missing := [name for name in ("config", *WEIGHTS) if name not in meta]:
            raise InputError(
                f"{directory / STATE} lacks {', '.join(missing)}: another version wrote it; run "
                "`higr tokenize` again"
            )
        config = EmbeddingConfig.model_validate(meta["config"])
        kinds: dict[str, Any] = {
            **dict.fromkeys(("text", "enrichment"), SentenceBlock if config.text_model else TextBlock),
            "labels": LabelBlock,
            "cooccurrence": CooccurrenceBlock,
            "numeric": NumericBlock,
            "given": GivenBlock,
        }
        blocks = {}
        for name, kind in kinds.items():
            own = {
                key.removeprefix(f"{name}."): value
                for key, value in arrays.items()
                if key.startswith(f"{name}.")
            }
            blocks[name] = kind.from_state(meta[name], own)
        return cls(config, **blocks)


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


def _fit_text(
    items: pa.Table, column: str, weight: float, config: EmbeddingConfig, seed: int
) -> TextBlock | SentenceBlock:
    count = min(items.num_rows, SAMPLE) if weight else 0
    texts = _texts(items.take(pa.array(np.arange(count) * items.num_rows // max(count, 1))), column)
    if config.text_model:
        return SentenceBlock.fit(texts, config.text_model)
    return TextBlock.fit(texts, config.text_dim, config.max_ngrams, seed)


def _texts(items: pa.Table, column: str) -> list[str]:
    return [text or "" for text in items[column].to_pylist()]


def _check(items: pa.Table) -> None:
    if items.num_rows == 0:
        raise InputError("items: the table is empty; the tokenizer needs items")
    if not items.schema.equals(ITEMS):
        raise InputError(
            f"items: columns are {items.schema.names}; validate the table against {ITEMS.names} first"
        )


def _check_unique(items: pa.Table) -> None:
    counts = pc.value_counts(items["item_id"].combine_chunks())
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        raise InputError(
            f"items: item_id {repeated[0]['values'].as_py()!r} and {len(repeated) - 1} more stand in several "
            f"of {items.num_rows} rows; keep one row an item"
        )
