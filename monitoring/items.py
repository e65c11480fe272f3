"""What is known of the items of a bundle, as arrays that rows of a log point into."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from higr.bundle import TRAINED, Bundle
from higr.files import read_table

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Items:
    """N items; row N, the last of every array, stands for those that the catalogue does not know.

    Attributes:
        ids: N ids, in the order of the catalogue.
        codes: (N + 1, D) int64, -1 for unknown.
        code_labels: K code names and `unknown`, so that code -1 is the last.
        category: (N + 1,) int64 positions in `categories`, whose last is `unknown`.
        new: (N + 1,) bool: came after the model was trained.
        popularity: (N + 1,) in [0, 1]: rank among the items by exposures in the bundle's reference.
        disabled: (N,) bool.
    """

    ids: pd.Index
    codes: np.ndarray
    code_labels: np.ndarray
    category: np.ndarray
    categories: np.ndarray
    new: np.ndarray
    popularity: np.ndarray
    disabled: np.ndarray

    @classmethod
    def of(cls, bundle: Bundle) -> "Items":
        catalog, table = bundle.catalog, bundle.items
        ids = pd.Index(catalog.item_ids)
        labels = pd.Index(sorted(set(table["category"].to_pylist())))
        rows = pd.Index(table["item_id"].to_pylist()).get_indexer(ids)
        category = labels.get_indexer(pd.Index(table["category"].to_pylist())[rows])
        trained = ids
        if TRAINED in bundle.manifest.files:
            trained = pd.Index(read_table(bundle.path / TRAINED, ["item_id"])["item_id"].to_pylist())
        shown = bundle.reference("feedback")["item_id"].value_counts()
        counts = np.zeros(len(ids) + 1)
        place = ids.get_indexer(pd.Index(shown.field("values").to_pylist(), dtype=object))
        counts[place[place >= 0]] = shown.field("counts").to_numpy()[place >= 0]
        rank = np.argsort(np.argsort(counts, kind="stable"), kind="stable") / max(len(ids), 1)
        rank[-1] = 0.0
        return cls(
            ids=ids,
            codes=np.vstack([catalog.codes, np.full((1, catalog.depth), -1)]).astype(np.int64),
            code_labels=np.array([*map(str, range(catalog.codebook_size)), UNKNOWN], dtype=object),
            category=np.append(category, len(labels)).astype(np.int64),
            categories=np.array([*labels, UNKNOWN], dtype=object),
            new=np.append(~np.isin(ids.to_numpy(dtype=object), trained.to_numpy(dtype=object)), False),
            popularity=rank,
            disabled=np.isin(ids.to_numpy(dtype=object), list(bundle.disabled)),
        )

    @property
    def depth(self) -> int:
        return int(self.codes.shape[1])

    def rows(self, item_ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """(rows,) int64; N for an item that is not known."""
        encoded = item_ids.combine_chunks() if isinstance(item_ids, pa.ChunkedArray) else item_ids
        encoded = encoded.dictionary_encode()
        found = self.ids.get_indexer(pd.Index(encoded.dictionary.to_pylist(), dtype=object))
        found = np.append(np.where(found < 0, len(self.ids), found), len(self.ids))
        return found[encoded.indices.fill_null(len(found) - 1).to_numpy(zero_copy_only=False)]

    @cached_property
    def prefixes(self) -> tuple[np.ndarray, np.ndarray]:
        """(N + 1,) positions in the labels of the first two codes, and these labels."""
        pairs = pd.Index([f"{a}-{b}" for a, b in self.codes[:, :2]])
        positions, labels = pd.factorize(pairs)
        return positions.astype(np.int64), np.asarray(labels, dtype=object)
