"""An emulated cluster with a canary, as the chart makes it."""

from collections.abc import Iterator

import pytest

from tests.serving.rollout.objects import Cluster, emulated
from tests.serving.rollout.world import NEW, STABLE, World


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with emulated(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def world(emulator: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("KUBECONFIG", str(emulator.kubeconfig))
    emulator.install(STABLE, NEW)
    yield World(emulator)
    emulator.clear()
