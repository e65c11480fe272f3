"""From items to semantic IDs: content embedder and quantiser, fitted, saved and loaded as one.

Disabled items are encoded and get a place in the catalogue like any other: what may be shown is
decided at decode time, and an item enabled again keeps its semantic ID.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save_file

from higr.catalog import Catalog
from higr.config import TokenizerConfig
from higr.data.prepared import PreparedData
from higr.errors import InputError
from higr.files import atomic_directory, read_json, write_json
from higr.tokenizer.collisions import CollisionReport, reassign
from higr.tokenizer.content import ContentEmbedder, read_arrays
from higr.tokenizer.cooccurrence import count_pairs
from higr.tokenizer.encoding import Encoding
from higr.tokenizer.gate import check_capacity
from higr.tokenizer.pcrq_vae import PCRQVAE
from higr.tokenizer.positives import mine_positives
from higr.tokenizer.train import Progress, build_quantizer, train_quantizer

META, WEIGHTS = "tokenizer.json", "quantizer.safetensors"


@dataclass(frozen=True)
class Tokenizer:
    """Frozen once fitted; new items are encoded without retraining."""

    config: TokenizerConfig
    embedder: ContentEmbedder
    quantizer: PCRQVAE

    @classmethod
    def fit(
        cls, data: PreparedData, config: TokenizerConfig, seed: int, progress: Progress | None = None
    ) -> Self:
        """Learn from all items' content and from the behaviour of the training period only.

        Raises:
            InputError: more items than K^D, fewer than K, or content nothing can be learnt from.
        """
        check_capacity(data.items.num_rows, config)
        ids = data.items["item_id"].to_pylist()
        counts = count_pairs(data.train_events, ids, config.embedding.cooccurrence_window)
        embedder = ContentEmbedder.fit(data.items, counts, config.embedding, seed)
        embeddings = embedder.transform(data.items)
        positives = mine_positives(embeddings, counts, config.positives, config.neighbours)
        return cls(config, embedder, train_quantizer(embeddings, positives, config, seed, progress))

    @cached_property
    def id(self) -> str:
        """12 hex digits of SHA-256 over all that decides codes; equal before `save` and after `load`."""
        meta, arrays = self.embedder.state()
        config = self.config.model_dump(mode="json", exclude={"gate"})  # judges codes, does not make them
        digest = hashlib.sha256(json.dumps([config, meta], sort_keys=True).encode())
        weights = {name: value.numpy() for name, value in self.quantizer.state_dict().items()}
        for name, array in sorted((arrays | weights).items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]

    @property
    def codebooks(self) -> np.ndarray:
        """(D, K, C) float32."""
        return self.quantizer.codebooks.detach().numpy()

    def encode(self, items: pa.Table) -> Encoding:
        """Semantic IDs of any items, seen at fit or not.

        Raises:
            InputError: another schema than `ITEMS`, no rows, or a bad embedding.
        """
        codes, latents, errors = self.quantizer.encode(torch.from_numpy(self.embedder.transform(items)))
        return Encoding(
            tuple(items["item_id"].to_pylist()),
            codes.numpy().astype(np.int32),
            latents.numpy(),
            errors.numpy(),
        )

    def save(self, directory: Path) -> None:
        """Write JSON and safetensors: nothing that executes on load."""
        with atomic_directory(directory) as aside:
            self.embedder.save(aside)
            save_file(self.quantizer.state_dict(), aside / WEIGHTS)
            write_json(
                aside / META,
                {"id": self.id, "config": self.config.model_dump(mode="json"), "width": self.quantizer.width},
            )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` wrote; codes of a table are the same as before.

        Raises:
            InputError: a file is missing, damaged, or of another tokenizer.
        """
        meta = read_json(directory / META)
        config = TokenizerConfig.model_validate(meta["config"])
        quantizer = build_quantizer(meta["width"], config)
        weights = {name: torch.from_numpy(value) for name, value in read_arrays(directory / WEIGHTS).items()}
        try:
            quantizer.load_state_dict(weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{directory / WEIGHTS} does not fit {META} ({reason}); run `higr tokenize` again"
            ) from None
        tokenizer = cls(config, ContentEmbedder.load(directory), quantizer.eval())
        if tokenizer.id != meta["id"]:
            raise InputError(
                f"{directory} says it is tokenizer {meta['id']} but its parts make {tokenizer.id}: they were "
                "altered or mixed; run `higr tokenize` again"
            )
        return tokenizer


def build_catalog(encoding: Encoding, tokenizer: Tokenizer) -> tuple[Catalog, CollisionReport]:
    """Apply the collision policy and wrap the result as a catalogue.

    Raises:
        InputError: an item id twice, or more items than K^D.
    """
    codes, report = reassign(encoding.item_ids, encoding.codes, encoding.latents, tokenizer.codebooks)
    return Catalog.build(encoding.item_ids, codes, tokenizer.config.codebook_size, tokenizer.id), report
