"""What quantisers are fitted to: items' content vectors on file, and each item's positives.

Made once and used by every training on it: the one that counts, the second that tells how stable
semantic IDs are, each point of a sweep.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix

from higr.config import TokenizerConfig
from higr.data.prepared import PreparedData
from higr.tokenizer.content import ContentEmbedder
from higr.tokenizer.cooccurrence import count_pairs
from higr.tokenizer.positives import mine_positives
from higr.tokenizer.store import embed_to_file, item_batches, without_labels


@dataclass(frozen=True)
class TrainingSet:
    """Attributes:
    item_ids: N ids, in the order of the items table.
    embedder: made the vectors, and makes those of new items.
    counts: (N, N) pair counts of the training period, in row order.
    embeddings: (N, width) float32 over a file in the directory it was built in, rows of length 1 or 0.
    positives: (N, P) int64 rows of each item's positives, -1 for none; P is 0 where none are needed.
    """

    item_ids: tuple[str, ...]
    embedder: ContentEmbedder
    counts: csr_matrix
    embeddings: np.ndarray
    positives: np.ndarray

    @classmethod
    def build(
        cls,
        data: PreparedData,
        config: TokenizerConfig,
        seed: int,
        directory: Path,
        *,
        items: Path | None = None,
        cache: Path | None = None,
    ) -> Self:
        """From all items' content and from the behaviour of the training period only.

        directory: for the vectors; it may go when the training set has been used.
        items: Parquet file to read the items from a batch at a time, with their embeddings; none:
            `data.items`.
        cache: folder that keeps mined positives by a hash of what they were mined from.

        Raises:
            InputError: items or events nothing can be learnt from.
        """
        batches = item_batches(data.items if items is None else items)
        ids = data.items["item_id"].to_pylist()
        slates = data.split("train")
        counts = count_pairs(data.train_events, ids, config.embedding.cooccurrence_window, slates)
        embedder = ContentEmbedder.fit(data.items, counts, config.embedding, seed, batches)
        embeddings = embed_to_file(embedder, batches, directory / "content.npy")
        positives = np.empty((len(ids), 0), np.int64)
        if config.kind == "pcrq_vae" and config.contrast_weight > 0:
            # Category and tags are the yardstick of prefixes: positives that knew them would flatter.
            blind: np.ndarray = embeddings
            if config.positives != "cooccurrence":
                blind = without_labels(embedder, embeddings, directory / "blind.npy")
            positives = mine_positives(blind, counts, config.positives, config.neighbours, cache)
        return cls(tuple(ids), embedder, counts, embeddings, positives)
