"""A real bundle (an untrained model speaks the same protocol) and a real feature store, made once."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from feature_repo.store import materialise
from higr.baseline.incumbent import Incumbent
from higr.bundle import Bundle, write_bundle
from higr.config import load_config
from higr.data.context import HistoryIndex
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.model.higr import HiGR
from higr.model.inputs import ProfileVocabulary
from higr.tokenizer.catalogue import build_catalog
from higr.tokenizer.tokenizer import Tokenizer

SMALL = {"tokenizer.epochs": 1, "baseline.trees": 5, "model.width": 32, "data.simulator.users": 40}
CONFIG = load_config("nano", SMALL)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A start in this process hands loggers a standard error that ends with it."""
    names = ("higr", "kserve", "kserve.trace", "uvicorn", "uvicorn.error", "uvicorn.access")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="session")
def data(workshop: Path) -> PreparedData:
    made = prepare(CONFIG.data, CONFIG.seed)
    made.save(workshop / "data")
    return made


@pytest.fixture(scope="session")
def store(workshop: Path, data: PreparedData) -> Path:
    materialise(workshop / "data", workshop / "store", CONFIG.data)
    return workshop / "store"


@pytest.fixture(scope="session")
def bundle(workshop: Path, data: PreparedData) -> Bundle:
    contexts = HistoryIndex.build(data.events, data.users, CONFIG.data).contexts(data.split("train"))
    Incumbent.fit(data, contexts, CONFIG.baseline, CONFIG.seed).save(workshop / "baseline")
    tokenizer = Tokenizer.fit(data, CONFIG.tokenizer, CONFIG.seed)
    tokenizer.save(workshop / "tokenizer")
    catalog, _ = build_catalog(tokenizer.encode(data.items), tokenizer)
    catalog.save(workshop / "catalog.parquet")
    torch.manual_seed(CONFIG.seed)
    profiles = ProfileVocabulary.fit([context.profile for context in contexts])
    model = HiGR(CONFIG.model, catalog.depth, catalog.codebook_size, profiles, catalog.tokenizer_id)
    model.save(workshop / "model")
    return write_bundle(
        workshop / "bundle",
        items=data.items,
        tokenizer=workshop / "tokenizer",
        catalog=workshop / "catalog.parquet",
        model=workshop / "model",
        baseline=workshop / "baseline",
        reference={},
        data_fingerprint=data.report["fingerprint"],
        config=CONFIG.model_dump(mode="json"),
        metrics={},
    )


@pytest.fixture(scope="session")
def index(data: PreparedData) -> HistoryIndex:
    return HistoryIndex.build(data.events, data.users, CONFIG.data)
