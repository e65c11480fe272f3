"""From items to semantic IDs: content embedder and quantiser, fitted, saved and loaded as one.

Disabled items are encoded and get a place in the catalogue like any other: what may be shown is
decided at decode time, and an item enabled again keeps its semantic ID.
"""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from safetensors.numpy import save_file

from higr.config import TokenizerConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.files import atomic_directory, read_json, write_json
from higr.progress import Progress
from higr.tokenizer.content import ContentEmbedder, read_arrays
from higr.tokenizer.encoding import Encoding
from higr.tokenizer.fit import build_quantizer, fit_quantizer
from higr.tokenizer.gate import check_capacity
from higr.tokenizer.quantizer import Quantizer
from higr.tokenizer.training_set import TrainingSet

META, WEIGHTS, ERRORS = "tokenizer.json", "quantizer.safetensors", "errors.safetensors"


@dataclass(frozen=True)
class Tokenizer:
    """Frozen once fitted; new items are encoded without retraining.

    Attributes:
        error_quantiles: (101,) float32, percentiles 0 to 100 of the squared reconstruction errors of
            the items it was fitted to: what new items are compared with.
    """

    config: TokenizerConfig
    embedder: ContentEmbedder
    quantizer: Quantizer
    error_quantiles: np.ndarray

    @classmethod
    def fit(
        cls, data: PreparedData, config: TokenizerConfig, seed: int, progress: Progress | None = None
    ) -> Self:
        """Learn from all items' content and from the behaviour of the training period only.

        Raises:
            InputError: more items than the collision policy has semantic IDs for, fewer than K, or
                content nothing can be learnt from.
        """
        check_capacity(data.items.num_rows, config)
        with tempfile.TemporaryDirectory() as directory:
            return cls.fit_to(TrainingSet.build(data, config, seed, Path(directory)), config, seed, progress)

    @classmethod
    def fit_to(
        cls, training: TrainingSet, config: TokenizerConfig, seed: int, progress: Progress | None = None
    ) -> Self:
        """Fit the quantiser alone, to content that is embedded already.

        Raises:
            InputError: as `fit`.
        """
        check_capacity(len(training.item_ids), config)
        quantizer = fit_quantizer(training.embeddings, training.positives, config, seed, progress)
        errors = quantizer.encode(training.embeddings).errors
        quantiles = np.percentile(errors, np.arange(101)).astype(np.float32)
        return cls(config, training.embedder, quantizer, quantiles)

    @cached_property
    def id(self) -> str:
        """12 hex digits of SHA-256 over all that decides codes; equal before `save` and after `load`."""
        meta, arrays = self.embedder.state()
        config = self.config.model_dump(mode="json", exclude={"gate"})  # judges codes, does not make them
        digest = hashlib.sha256(json.dumps([config, meta], sort_keys=True).encode())
        for name, array in sorted((arrays | self.quantizer.state()).items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]

    @property
    def codebooks(self) -> np.ndarray:
        """(D, K, C) float32."""
        return self.quantizer.codebooks

    def encode(self, items: pa.Table) -> Encoding:
        """Semantic IDs of any items, seen at fit or not.

        Raises:
            InputError: another schema than `ITEMS`, no rows, or a bad embedding.
        """
        return self.encode_content(items["item_id"].to_pylist(), self.embedder.transform(items))

    def encode_content(self, item_ids: Sequence[str], embeddings: np.ndarray) -> Encoding:
        """Semantic IDs of items whose content is embedded already: (N, width) by this embedder."""
        if embeddings.shape[1] != self.quantizer.width:
            raise InputError(
                f"embeddings have {embeddings.shape[1]} columns, tokenizer {self.id} knows "
                f"{self.quantizer.width}; embed the items with the tokenizer's own embedder"
            )
        found = self.quantizer.encode(embeddings)
        return Encoding(tuple(item_ids), found.codes, found.latents, found.errors)

    def save(self, directory: Path) -> None:
        """Write JSON and safetensors: nothing that executes on load."""
        with atomic_directory(directory) as aside:
            self.embedder.save(aside)
            save_file(_contiguous(self.quantizer.state()), aside / WEIGHTS)
            save_file({"quantiles": self.error_quantiles}, aside / ERRORS)
            write_json(aside / META, {"id": self.id, "config": self.config.model_dump(mode="json")})

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote; codes of a table are the same as before.

        Raises:
            InputError: a file is missing, damaged, or of another tokenizer.
        """
        meta = read_json(directory / META)
        config = TokenizerConfig.model_validate(meta["config"])
        try:
            quantizer = build_quantizer(read_arrays(directory / WEIGHTS), config)
        except InputError as error:
            raise InputError(f"{directory / WEIGHTS}: {error}; run `higr tokenize` again") from None
        errors = read_arrays(directory / ERRORS)["quantiles"]
        tokenizer = cls(config, ContentEmbedder.load(directory), quantizer, errors)
        if tokenizer.id != meta["id"]:
            raise InputError(
                f"{directory} says it is tokenizer {meta['id']} but its parts make {tokenizer.id}: they were "
                "altered or mixed; run `higr tokenize` again"
            )
        return tokenizer


def _contiguous(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}
