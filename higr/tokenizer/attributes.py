"""What an item's record says besides its text: category and tags, duration and age, a given vector."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from higr.errors import InputError

DAY_MS = 86_400_000.0


def _labels(items: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Category and tags of all items as (row, label) pairs, none twice.

    The prefixes keep a tag from being taken for a category.
    """
    tags = items["tags"].combine_chunks()
    of = pc.list_parent_indices(tags).cast(pa.int64())
    named = pc.binary_join_element_wise("tag", pc.list_flatten(tags), ":")  # null for a null tag
    category = pc.binary_join_element_wise("category", items["category"].combine_chunks(), ":")
    pairs = pa.table(
        {
            "row": pa.concat_arrays([pa.array(np.arange(items.num_rows)), of]),
            "label": pa.concat_arrays([category, named]),
        }
    )
    pairs = pairs.filter(pc.is_valid(pairs["label"])).group_by(["row", "label"]).aggregate([])
    return pairs["row"], pairs["label"]


@dataclass(frozen=True)
class LabelBlock:
    """One column a category and a tag seen at fit; a label of one item only is not kept."""

    labels: list[str]

    @classmethod
    def fit(cls, items: pa.Table, max_labels: int) -> Self:
        """The `max_labels` labels of most items; of equally frequent ones the first in the alphabet."""
        _, labels = _labels(items)
        found = pc.value_counts(labels)
        counts = zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True)
        kept = sorted((-count, label) for label, count in counts if count > 1)
        return cls(sorted(label for _, label in kept[:max_labels]))

    @property
    def width(self) -> int:
        return len(self.labels)

    def transform(self, items: pa.Table) -> np.ndarray:
        """(N, width) float32 of zeros and ones; labels not seen at fit are passed over."""
        rows, labels = _labels(items)
        columns = pc.fill_null(pc.index_in(labels, pa.array(self.labels, pa.string())), -1).to_numpy()
        out = np.zeros((items.num_rows, self.width), np.float32)
        out[rows.to_numpy()[columns >= 0], columns[columns >= 0]] = 1.0
        return out

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"labels": self.labels}, {}

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        return cls(meta["labels"])


@dataclass(frozen=True)
class NumericBlock:
    """Log duration (log seconds) and log age (log days before the youngest item), standardised.

    Attributes:
        youngest_ms: creation of the youngest item at fit, UTC ms; ages are counted from it.
        mean, scale: (2,) float64 over the items that have a value.
    """

    youngest_ms: float
    mean: np.ndarray
    scale: np.ndarray

    @property
    def width(self) -> int:
        return 2

    @classmethod
    def fit(cls, items: pa.Table) -> Self:
        created = pc.max(items["created_at"].cast(pa.int64())).as_py()
        youngest = float(created or 0)
        raw = _log_numbers(items, youngest)
        known = np.isfinite(raw)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, raw, 0).sum(axis=0) / count
        scale = np.sqrt(np.where(known, (raw - mean) ** 2, 0).sum(axis=0) / count)
        return cls(youngest, mean, np.where(scale > 1e-9, scale, 1.0))

    def transform(self, items: pa.Table) -> np.ndarray:
        """(N, 2) float32 in [-1, 1]: three standard deviations and beyond are 1; unknown is 0."""
        values = (_log_numbers(items, self.youngest_ms) - self.mean) / self.scale
        return np.nan_to_num(np.clip(values / 3.0, -1.0, 1.0)).astype(np.float32)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"youngest_ms": self.youngest_ms}, {"mean": self.mean, "scale": self.scale}

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        return cls(meta["youngest_ms"], arrays["mean"], arrays["scale"])


def _log_numbers(items: pa.Table, youngest_ms: float) -> np.ndarray:
    """(N, 2) float64 of log1p seconds and log1p days; NaN where the record says nothing."""
    seconds = pc.fill_null(items["duration_seconds"].cast(pa.float64()), float("nan")).to_numpy()
    created = pc.fill_null(items["created_at"].cast(pa.int64()).cast(pa.float64()), float("nan")).to_numpy()
    days = (youngest_ms - created) / DAY_MS
    return np.log1p(np.maximum(np.column_stack([seconds, days]), 0.0))


@dataclass(frozen=True)
class GivenBlock:
    """The items table's own embedding column; width 0 where it is absent."""

    width: int

    @classmethod
    def fit(cls, batches: Iterable[pa.Table]) -> Self:
        """The width of the first embedding there is."""
        for items in batches:
            widths = pc.list_value_length(items["embedding"]).drop_null()
            if len(widths):
                return cls(widths[0].as_py())
        return cls(0)

    def transform(self, items: pa.Table) -> np.ndarray:
        """(N, width) float32; an item without an embedding is all zeros.

        Raises:
            InputError: an embedding of another width than at fit, or with NaN or infinite values.
        """
        out = np.zeros((items.num_rows, self.width), np.float32)
        column = items["embedding"].combine_chunks()
        present = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        widths = pc.list_value_length(column).drop_null().to_numpy()
        wrong = np.flatnonzero(widths != self.width)
        if len(wrong):
            item = items["item_id"][int(present[wrong[0]])].as_py()
            raise InputError(
                f"items: embedding of item {item!r} has {widths[wrong[0]]} values, the tokenizer knows "
                f"{self.width}; give all items embeddings of one width, or fit the tokenizer again"
            )
        values = column.drop_null().flatten()
        out[present] = (
            pc.fill_null(values, float("nan")).to_numpy(zero_copy_only=False).reshape(-1, self.width)
            if len(present)
            else 0
        )
        bad = np.flatnonzero(~np.isfinite(out).all(axis=1))
        if len(bad):
            item = items["item_id"][int(bad[0])].as_py()
            raise InputError(
                f"items: embedding of item {item!r} holds NaN or infinite values ({len(bad)} such items); "
                "compute it again or leave it null"
            )
        return out

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"width": self.width}, {}

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        return cls(meta["width"])
