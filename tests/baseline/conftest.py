"""One fitted incumbent for the whole room."""

import pytest

from higr.baseline.incumbent import Incumbent
from higr.config import BaselineConfig
from higr.data.prepared import PreparedData
from higr.slate import UserContext
from tests.baseline.worlds import tastes


@pytest.fixture(scope="session")
def world() -> tuple[PreparedData, list[UserContext]]:
    return tastes(users=30, items=60, slates_each=12, seed=0)


@pytest.fixture(scope="session")
def incumbent(world: tuple[PreparedData, list[UserContext]]) -> Incumbent:
    data, contexts = world
    config = BaselineConfig(neighbours=10, candidates=20, unexposed=5, trees=20)
    return Incumbent.fit(data, contexts, config, seed=0)
