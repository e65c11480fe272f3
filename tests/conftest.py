"""Fixtures that several rooms share."""

from collections.abc import Iterator
from pathlib import Path

# Before Feast, which names a folder in which metrics of one name share their value, whatever their registry.
import prometheus_client  # noqa: F401
import pytest
import torch

from higr import stages
from higr.config import RunConfig, load_config

NANO = {
    "data.simulator.users": 60,
    "data.simulator.items": 80,
    "tokenizer.epochs": 10,
    "tokenizer.codebook_size": 8,
    "tokenizer.gate": {
        "max_collision": 1,
        "min_concentration": 0,
        "min_consistency": 0,
        "min_codebook_use": 0,
    },
    "training.epochs": 2,
    "baseline.trees": 10,
    "evaluation.bootstrap": 100,
}
"""Overrides of the preset `nano` that make a whole run a matter of seconds. Quality does not matter here."""


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def nano_config() -> RunConfig:
    return load_config("nano", NANO)


@pytest.fixture(scope="session")
def nano_run(tmp_path_factory: pytest.TempPathFactory, nano_config: RunConfig) -> Path:
    """A whole real run, made once a session: data/, tokens/, ..., bundle/. Do not write to it."""
    run = tmp_path_factory.mktemp("nano")
    for stage in stages.STAGES.values():
        stage(nano_config, run, lambda *_: None)
    return run


@pytest.fixture(scope="session")
def nano_bundle(nano_run: Path) -> Path:
    """The bundle of `nano_run`. Do not write to it: copy it first."""
    return nano_run / "bundle"
