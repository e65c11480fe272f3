"""Bundles to store: one of a run, and children of it that differ in their items."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from higr.bundle import Bundle
from higr.catalog_update import Changes, update_bundle
from tests.s3_server import S3Server


@pytest.fixture(scope="session")
def bundles(nano_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Bundle]:
    """Five versions; each after the first has one item less than the one before it."""
    made = [Bundle.open(nano_bundle)]
    folder = tmp_path_factory.mktemp("bundles")
    for number in range(1, 5):
        old = made[-1]
        path = folder / str(number)
        update_bundle(old.path, path, Changes(remove=(old.catalog.item_ids[0],)), lambda *_: None)
        made.append(Bundle.open(path))
    return made


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with pytest.MonkeyPatch.context() as patch, S3Server(tmp_path_factory.mktemp("s3")) as server:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.make_bucket("models")
        yield server
