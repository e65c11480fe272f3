"""Text of an item as a vector: a sentence-embedding model from a local folder.

The folder is one that sentence-transformers or transformers wrote: configuration, tokenizer,
safetensors weights, and where it says so how token vectors are pooled. Nothing is downloaded and
nothing the folder holds is executed. Weights are gigabytes and stay where they are: the fitted
state names the folder and its fingerprint, and a folder of another fingerprint is refused.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from higr.errors import InputError
from higr.files import read_json, sha256

ELSEWHERE = "HIGR_TEXT_MODEL"
"""Environment variable that names the model's folder where it lies elsewhere than at fit."""

BATCH = 32
MAX_TOKENS = 512
"""Where the folder names no length of its own; attention costs grow with its square."""

POOLINGS: dict[str, Literal["mean", "cls"]] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "mean": "mean",
    "cls": "cls",
}


@dataclass(frozen=True)
class SentenceBlock:
    """Which model embeds; it is read when the first text is to be embedded.

    Attributes:
        directory: the model's folder at fit.
        fingerprint: of its files, "" where there was no text to embed.
        width: of its vectors; 0 where there was no text at fit.
    """

    directory: str
    fingerprint: str
    width: int

    @classmethod
    def fit(cls, texts: Sequence[str], directory: str) -> Self:
        """Nothing is learnt: the model is as it is. Without any text the block has width 0.

        Raises:
            InputError: the folder is missing or holds no model this block can use.
        """
        if not any(text.strip() for text in texts):
            return cls(directory, "", 0)
        encoder = load_encoder(_folder(directory))
        return cls(directory, encoder.fingerprint, encoder.width)

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        """(N, width) float32, not normalised; a blank text is all zeros.

        The last bits of a vector depend on the texts embedded beside it, as in every batched model.

        Raises:
            InputError: the folder is missing, or is not the one of the fit.
        """
        out = np.zeros((len(texts), self.width), np.float32)
        rows = [row for row, text in enumerate(texts) if text.strip()]
        if self.width and rows:
            out[rows] = self._encoder().encode([texts[row] for row in rows])
        return out

    def _encoder(self) -> "SentenceEncoder":
        folder = _folder(self.directory)
        encoder = load_encoder(folder)
        if encoder.fingerprint != self.fingerprint:
            raise InputError(
                f"text model {folder} has fingerprint {encoder.fingerprint[:12]}, the tokenizer was fitted "
                f"with {self.fingerprint[:12]}; put that model back, name its folder in {ELSEWHERE}, or run "
                "`higr tokenize` again"
            )
        return encoder

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"directory": self.directory, "fingerprint": self.fingerprint, "width": self.width}, {}

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        return cls(meta["directory"], meta["fingerprint"], meta["width"])


def _folder(directory: str) -> Path:
    folder = Path(os.environ.get(ELSEWHERE) or directory).resolve()
    if not folder.is_dir():
        raise InputError(
            f"text model: {folder} is not a folder; put the model there, or name its folder in "
            f"embedding.text_model or the environment variable {ELSEWHERE}"
        )
    return folder


@dataclass(frozen=True)
class Layout:
    """What the folder says of itself beside the weights.

    Attributes:
        transformer: folder of the weights, configuration and tokenizer.
        pooling: mean of the token vectors, or the first token's.
        max_tokens: longer texts are cut; None: the tokenizer says.
        lower: texts are lower-cased first.
    """

    transformer: Path
    pooling: Literal["mean", "cls"]
    max_tokens: int | None
    lower: bool


def read_layout(folder: Path) -> Layout:
    """The layout sentence-transformers writes; a plain transformers folder is pooled by the mean.

    Raises:
        InputError: a module or a pooling that is neither of those known here.
    """
    transformer, pooling = folder, "pooling_mode_mean_tokens"
    modules = read_json(folder / "modules.json") if (folder / "modules.json").is_file() else []
    for module in modules:
        kind = module["type"].rsplit(".", 1)[-1]
        if kind == "Transformer":
            transformer = folder / module["path"]
        elif kind == "Pooling":
            pooling = _pooling(folder / module["path"] / "config.json")
        elif kind != "Normalize":  # lengths are made 1 later on anyway
            raise InputError(
                f"text model {folder}: module {kind} is not known; use a model of Transformer, Pooling and "
                "Normalize alone"
            )
    extra = transformer / "sentence_bert_config.json"
    settings = read_json(extra) if extra.is_file() else {}
    return Layout(
        transformer, POOLINGS[pooling], settings.get("max_seq_length"), bool(settings.get("do_lower_case"))
    )


def _pooling(path: Path) -> str:
    settings = read_json(path)
    named = settings.get("pooling_mode")
    chosen = [named] if named else [name for name in settings if name.startswith("pooling_mode_")]
    chosen = [name for name in chosen if name == named or settings[name] is True]
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        raise InputError(f"{path}: pooling {chosen} is not known; use a model pooled by mean or by cls alone")
    return str(chosen[0])


class SentenceEncoder:
    """A model in memory, evaluation mode, float32."""

    def __init__(self, folder: Path) -> None:
        layout = read_layout(folder)
        self.fingerprint = fingerprint(folder)
        self._pooling, self._lower = layout.pooling, layout.lower
        self._tokenizer, self._model = _load(layout.transformer)
        settings = self._model.config
        self.width: int = settings.hidden_size
        limits = (self._tokenizer.model_max_length, getattr(settings, "max_position_embeddings", MAX_TOKENS))
        self._max_tokens = min(layout.max_tokens or MAX_TOKENS, *limits)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """(N, width) float32. Texts of like length are embedded together: less padding, less time."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        given = [text.lower() for text in texts] if self._lower else list(texts)
        tokens = self._tokenizer(given, truncation=True, max_length=self._max_tokens)["input_ids"]
        order = np.argsort([-len(own) for own in tokens], kind="stable")
        out = np.empty((len(given), self.width), np.float32)
        padding = float(self._tokenizer.pad_token_id or 0)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            own = [torch.tensor(tokens[row]) for row in rows]
            ids = pad_sequence(own, batch_first=True, padding_value=padding)  # (B, T)
            mask = pad_sequence([torch.ones_like(each) for each in own], batch_first=True)
            with torch.inference_mode():
                hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, width)
            if self._pooling == "cls":
                pooled = hidden[:, 0]
            else:
                pooled = (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
            out[rows] = pooled.numpy()
        return out


@lru_cache(maxsize=1)
def load_encoder(folder: Path) -> SentenceEncoder:
    """The model of `folder`, kept in memory: text and enrichment are embedded by the same one."""
    return SentenceEncoder(folder)


def _load(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model of a transformers folder; safetensors alone, no code of the folder."""
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError:
        raise InputError(
            "embedding.text_model needs transformers; install it, or leave the field out"
        ) from None
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        model = AutoModel.from_pretrained(folder, use_safetensors=True, **options)
    except Exception as error:  # transformers raises whatever its parts raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"text model {folder} cannot be loaded ({reason}); give a folder with config.json, a tokenizer "
            "and model.safetensors"
        ) from None
    return tokenizer, model.float().eval()


def fingerprint(folder: Path) -> str:
    """sha256 over names and contents of all files below `folder`; hidden ones have no part in it."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    seen = [
        (name.as_posix(), sha256(path))
        for name, path in sorted(files.items())
        if not any(part.startswith(".") for part in name.parts)
    ]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()
