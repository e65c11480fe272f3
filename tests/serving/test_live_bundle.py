"""Another bundle in the place of the one that is served."""

import gc
import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from higr.bundle import Bundle
from higr.catalog_update import Changes, update_bundle
from higr.config import BatchConfig
from higr.errors import BundleError
from serving import live_bundle
from serving.live_bundle import LiveBundle
from serving.live_policy import LivePolicyFile
from serving.predictor import Predictor
from serving.served import Served


def load(bundle: Bundle) -> Served:
    return Served.of(bundle, Predictor.load(bundle, BatchConfig()), LivePolicyFile(None))


@pytest.fixture(scope="module")
def other(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("other") / "bundle"
    update_bundle(bundle.path, out, Changes(remove=bundle.catalog.item_ids[:1]), lambda *_: None)
    return Bundle.open(out)


class Watched:
    """A link that is moved, and what was said about it."""

    def __init__(self, folder: Path, first: Bundle) -> None:
        self.link = folder / "current"
        self.link.symlink_to(first.path)
        self.versions: list[str] = []
        self.errors: list[int] = []
        self.live = LiveBundle(self.link, load, self.versions.append, lambda: self.errors.append(1))
        self.live.watch()

    def move(self, target: Path) -> None:
        aside = self.link.with_name("aside")
        aside.symlink_to(target)
        aside.replace(self.link)

    def until(self, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not happened():
            assert time.monotonic() < end, "it did not happen within a minute"
            time.sleep(0.01)


@pytest.fixture
def watched(tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(live_bundle, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(live_bundle, "RETRY_SECONDS", 0.05)
    made = Watched(tmp_path, bundle)
    yield made
    made.live.close()
    gc.unfreeze()


def test_another_bundle_is_taken_whole(watched: Watched, bundle: Bundle, other: Bundle) -> None:
    before = watched.live.served
    watched.move(other.path)
    watched.until(lambda: watched.live.served is not before)
    after = watched.live.served
    assert after.version == other.version
    assert set(before.shelf.eligible) - set(after.shelf.eligible) == set(bundle.catalog.item_ids[:1])
    assert watched.versions == [bundle.version, other.version]
    assert watched.errors == []


def test_the_one_before_is_freed_without_a_collection(watched: Watched, other: Bundle) -> None:
    """The collector does not look at what was loaded at the start: only references can free it."""
    gc.collect()
    gc.freeze()
    predictor = weakref.ref(watched.live.served.predictor)
    gc.disable()
    try:
        watched.move(other.path)
        watched.until(lambda: watched.live.served.version == other.version)
        watched.until(lambda: predictor() is None)
    finally:
        gc.enable()


def test_a_damaged_bundle_is_refused_until_it_is_whole(
    watched: Watched, bundle: Bundle, other: Bundle, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(other.path, copy)
    catalog = copy / "catalog.parquet"
    whole = catalog.read_bytes()
    catalog.unlink()  # a hard link must not be written through
    catalog.write_bytes(whole[:-1])
    watched.move(copy)
    watched.until(lambda: len(watched.errors) >= 2)
    assert watched.live.served.version == bundle.version
    catalog.write_bytes(whole)
    watched.until(lambda: watched.live.served.version == other.version)


def test_nothing_in_its_place_changes_nothing(watched: Watched, bundle: Bundle) -> None:
    watched.link.unlink()
    watched.until(lambda: bool(watched.errors))
    assert watched.live.served.version == bundle.version
    watched.link.symlink_to(bundle.path)
    watched.until(lambda: watched.live._manifest.path.exists())
    assert watched.versions == [bundle.version]


def test_the_first_one_has_to_be_right(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        LiveBundle(tmp_path, load)


def test_a_bundle_outside_of_the_roots_is_refused(tmp_path: Path, bundle: Bundle, other: Bundle) -> None:
    """At the start, and when the link moves; a link into a root is none the worse for where it lies."""
    link = tmp_path / "current"
    link.symlink_to(other.path)
    roots = [tmp_path / "nowhere", bundle.path.parent]
    with pytest.raises(BundleError, match="leads out of bundle_roots"):
        LiveBundle(link, load, roots=roots)
    link.unlink()
    link.symlink_to(bundle.path)
    live = LiveBundle(link, load, roots=roots)
    link.unlink()
    link.symlink_to(other.path)
    assert not live._take()
    assert live.served.version == bundle.version


def test_a_file_of_a_bundle_outside_of_the_roots_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    copy = tmp_path / "root" / "copy"
    shutil.copytree(bundle.path, copy)
    LiveBundle(copy, load, roots=[tmp_path / "root"])
    (copy / "catalog.parquet").unlink()
    (copy / "catalog.parquet").symlink_to(bundle.path / "catalog.parquet")
    LiveBundle(copy, load)
    with pytest.raises(BundleError, match=r"catalog\.parquet leads out of bundle_roots"):
        LiveBundle(copy, load, roots=[tmp_path / "root"])
