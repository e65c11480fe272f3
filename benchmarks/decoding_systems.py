"""The decoders that are compared, each as a `Recommender` of the same shape.

An engine is a model of the same interface whose blocks are faster. To measure one more, add it to
ENGINES: all rows, ratios and tables take it up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from benchmarks.decoding_t5 import T5Recommender, build_t5
from benchmarks.decoding_uncached import without_cache
from benchmarks.decoding_work import Work, higr_work, onerec_work, t5_work
from benchmarks.decoding_world import Shape
from higr.catalog import Catalog
from higr.config import ModelConfig
from higr.decode.engines.int8 import Int8HiGR, Int8OneRec
from higr.decode.engines.native import library
from higr.decode.recommender import HiGRRecommender
from higr.errors import EngineError, HigrError
from higr.model.higr import HiGR
from higr.model.inputs import ProfileVocabulary
from higr.peers.build import build_peer, count_parameters
from higr.peers.onerec import OneRec
from higr.peers.recommenders import OneRecRecommender
from higr.slate import Recommender

Name = Literal[
    "hf_t5_flat",
    "hf_t5_flat_greedy",
    "onerec_kv",
    "onerec_greedy_kv",
    "onerec_nokv",
    "higr_kv",
    "higr_nokv",
]

TITLES: dict[str, str] = {
    "hf_t5_flat": "transformers' T5, flat codes of the slate, constrained beam over a trie",
    "hf_t5_flat_greedy": "the same, greedy",
    "onerec_kv": "OneRec-style, one beam over all codes of the slate, as published",
    "onerec_greedy_kv": "OneRec-style, greedy slate and beam inside an item",
    "onerec_nokv": "OneRec-style as published, no keys or values kept",
    "higr_kv": "HiGR",
    "higr_nokv": "HiGR, no keys or values kept",
}

PROFILES = ProfileVocabulary({})


@dataclass(frozen=True)
class Engine:
    """Attributes:
    device: cpu or cuda.
    kind: of its weights: fp32, bf16 or int8.
    make: a reference model to the engine's.
    """

    device: str
    kind: str
    make: Callable[[HiGR | OneRec], Any]


ENGINES: dict[str, Engine] = {
    "reference": Engine("cpu", "fp32", lambda model: model),
    "cpu": Engine("cpu", "int8", lambda model: (Int8HiGR if isinstance(model, HiGR) else Int8OneRec)(model)),
}
"""Slowest first."""


def engines(device: str) -> list[str]:
    """Those for a device that this machine runs, slowest first."""
    if device == "cuda" and not torch.cuda.is_available():
        return []
    return [
        name
        for name, engine in ENGINES.items()
        if engine.device == device and (engine.kind != "int8" or _has_kernels())
    ]


def _has_kernels() -> bool:
    try:
        library()
    except EngineError:
        return False
    return True


@dataclass(frozen=True)
class Subject:
    """One row: what decodes, by which engine, of which size. Says all that a process needs to build it.

    Attributes:
        config: HiGR's; the others are made of its size.
    """

    system: Name
    engine: str
    config: ModelConfig

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise HigrError(f"no engine {self.engine!r}; there are {', '.join(ENGINES)}")

    @property
    def device(self) -> str:
        return ENGINES[self.engine].device


@dataclass(frozen=True)
class System:
    """Attributes:
    parameters: of the model before any quantisation.
    kind: of the weights.
    work: of a batch of that size.
    """

    subject: Subject
    recommender: Recommender
    parameters: int
    kind: str
    work: Callable[[int], Work]

    @property
    def name(self) -> str:
        """As in the documents, without the size."""
        return f"{self.subject.system} ({self.subject.engine})"


def build(subject: Subject, shape: Shape, catalog: Catalog, seed: int) -> System:
    """Random weights from the seed; the same for every engine.

    Raises:
        InputError: transformers is not installed, or a size that a peer cannot be made of.
    """
    torch.manual_seed(seed)
    config, engine = subject.config, ENGINES[subject.engine]
    parts = (config, shape.depth, shape.codebook_size, PROFILES)
    if subject.system in ("hf_t5_flat", "hf_t5_flat_greedy"):
        size = count_parameters(lambda: HiGR(*parts, ""))
        t5 = build_t5(config, shape.depth, shape.codebook_size, size)
        beams = shape.beam if subject.system == "hf_t5_flat" else 1
        recommender = T5Recommender(t5, catalog, beams, shape.history)
        return System(
            subject, recommender, _parameters(t5), "fp32", lambda batch: t5_work(config, shape, batch, beams)
        )
    cached = not subject.system.endswith("nokv")
    model: Any
    if subject.system.startswith("onerec"):
        model = build_peer("onerec", *parts, len(catalog)).eval()
    else:
        model = HiGR(*parts, "").eval()
    parameters, sizes = _parameters(model), model.config
    if not cached:
        model = without_cache(model)
    model = engine.make(model)
    if subject.system.startswith("onerec"):
        rule: Literal["session", "greedy"] = "greedy" if "greedy" in subject.system else "session"
        return System(
            subject,
            OneRecRecommender(model, catalog, shape.beam, rule),
            parameters,
            engine.kind,
            lambda batch: onerec_work(sizes, shape, batch, rule, cached=cached),
        )
    return System(
        subject,
        HiGRRecommender(model, catalog, shape.beam),
        parameters,
        engine.kind,
        lambda batch: higr_work(sizes, shape, batch, cached=cached),
    )


def _parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
