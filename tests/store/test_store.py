"""Run: pytest tests/store/test_store.py

In a folder and in a real S3, all the same.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from higr.bundle import Bundle
from higr.errors import BundleError, InputError, StoreError
from higr.store import root
from higr.store.difference import difference
from higr.store.store import BundleStore
from tests.s3_server import S3Server

ME = "a test"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BundleStore:
    if request.param == "folder":
        return BundleStore(str(tmp_path / "store"))
    request.getfixturevalue("s3")
    return BundleStore(f"s3://models/{tmp_path.name}-{abs(hash(request.node.name))}")


@pytest.fixture
def folder(tmp_path: Path) -> BundleStore:
    return BundleStore(str(tmp_path / "store"))


def test_an_empty_store_holds_nothing(store: BundleStore) -> None:
    index = store.index()
    assert (index.acts, index.versions, index.production, index.previous) == ((), {}, None, None)
    with pytest.raises(
        StoreError, match="nothing to roll back to, of the versions in production there is none"
    ):
        store.rollback(ME)


def test_what_was_published_comes_back_whole(
    store: BundleStore, bundles: Sequence[Bundle], tmp_path: Path
) -> None:
    version, new = store.publish(bundles[0].path, ME, "the first")
    assert (version, new) == (bundles[0].version, True)
    assert store.publish(bundles[0].path, ME) == (version, False)
    fetched = store.fetch(version, tmp_path / "fetched")
    assert fetched.version == version
    for name in [*bundles[0].manifest.files, "manifest.json"]:
        assert (fetched.path / name).read_bytes() == (bundles[0].path / name).read_bytes()
    with pytest.raises(InputError, match="exists"):
        store.fetch(version, tmp_path / "fetched")
    index = store.index()
    assert [(act.kind, act.version, act.by, act.reason) for act in index.acts] == [
        ("publish", version, ME, "the first")
    ]
    assert index.production is None


def test_promote_and_roll_back_are_a_stack(store: BundleStore, bundles: Sequence[Bundle]) -> None:
    a, b, c = (store.publish(bundle.path, ME)[0] for bundle in bundles[:3])
    for version in (a, b, c):
        store.promote(version, ME, f"{version} is good")
    assert store.promote(c, ME) is None
    assert (store.index().production, store.index().previous) == (c, b)
    assert store.rollback(ME, "worse").version == b
    assert store.rollback(ME, "worse, too").version == a
    with pytest.raises(StoreError, match=f"of the versions in production {a} is the first"):
        store.rollback(ME)
    store.promote(c, ME)
    assert (store.index().production, store.index().previous) == (c, a)
    assert store.index().at_once == ()


def test_the_oldest_are_retired_and_what_serves_stays(store: BundleStore, bundles: Sequence[Bundle]) -> None:
    versions = [store.publish(bundle.path, ME)[0] for bundle in bundles]
    store.promote(versions[0], ME)
    store.promote(versions[1], ME)
    assert store.retain(3, ME) == versions[2:4]
    files = store.root.files.get_file_info(pafs.FileSelector(store.root.at("versions"), recursive=True))
    left = {Path(info.path).relative_to(store.root.at("versions")).parts[0] for info in files if info.is_file}
    assert left == {*versions[:2], versions[4]}
    assert store.retain(3, ME) == []
    assert store.retain(1, ME) == []  # the newest may be on its way to users
    with pytest.raises(StoreError, match="was retired"):
        store.promote(versions[2], ME)
    with pytest.raises(StoreError, match="keep is 0"):
        store.retain(0, ME)
    # Published again it is the newest, not the oldest.
    assert store.publish(bundles[2].path, ME) == (versions[2], True)
    live = [held.version for held in store.index().versions.values() if not held.retired]
    assert live == [*versions[:2], versions[4], versions[2]]
    store.promote(versions[2], ME)
    assert store.rollback(ME).version == versions[1]


def test_a_version_never_changes(folder: BundleStore, bundles: Sequence[Bundle], tmp_path: Path) -> None:
    version, _ = folder.publish(bundles[0].path, ME)
    manifest = Path(folder.root.at("versions", version, "manifest.json"))
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 1 '))
    with pytest.raises(StoreError, match="does not match its checksum"):
        folder.promote(version, ME)
    with pytest.raises(StoreError, match="does not match its checksum"):
        folder.fetch(version, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_altered_file_is_never_fetched(
    folder: BundleStore, bundles: Sequence[Bundle], tmp_path: Path
) -> None:
    version, _ = folder.publish(bundles[0].path, ME)
    Path(folder.root.at("versions", version, "items.parquet")).write_bytes(b"other")
    with pytest.raises(BundleError, match=r"items\.parquet does not match its checksum"):
        folder.fetch(version, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_missing_file_is_named_and_brought_back_by_publishing(
    store: BundleStore, bundles: Sequence[Bundle]
) -> None:
    version, _ = store.publish(bundles[0].path, ME)
    store.root.files.delete_file(store.root.at("versions", version, "catalog.parquet"))
    with pytest.raises(StoreError, match=r"catalog\.parquet is missing \(1 in all\)"):
        store.promote(version, ME)
    assert store.publish(bundles[0].path, ME) == (version, True)
    store.promote(version, ME)
    assert [act.kind for act in store.index().acts] == ["publish", "promote"]


def test_what_was_interrupted_is_not_there(
    folder: BundleStore, bundles: Sequence[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_after_three(label: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.publish(bundles[0].path, ME, progress=stop_after_three)
    assert folder.index().versions == {}
    with pytest.raises(StoreError, match="was never published"):
        folder.promote(bundles[0].version, ME)
    version, new = folder.publish(bundles[0].path, ME)
    assert new
    folder.promote(version, ME)


def test_a_broken_bundle_does_not_reach_the_store(
    folder: BundleStore, bundles: Sequence[Bundle], tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(bundles[0].path, tmp_path / "broken"))
    (broken / "items.parquet").unlink()
    with pytest.raises(BundleError, match=r"items\.parquet is missing"):
        folder.publish(broken, ME)
    assert not (tmp_path / "store").exists()


def test_difference_names_parts_and_items(store: BundleStore, bundles: Sequence[Bundle]) -> None:
    a, b = (store.publish(bundle.path, ME)[0] for bundle in bundles[:2])
    found = difference(store, a, b)
    assert found.parts == ("catalog.parquet", "items.parquet", "trained.parquet")
    assert (found.added, found.removed) == ((), (bundles[0].catalog.item_ids[0],))
    assert found.config == {}
    assert difference(store, b, a).added == found.removed
    assert difference(store, a, a).parts == ()
    with pytest.raises(StoreError, match="version 0123 was never published"):
        difference(store, a, "0123")


def test_a_store_that_hangs_or_refuses_is_an_error_without_secrets(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-private")
    with pytest.raises(StoreError, match="check that it is reachable") as refused:
        BundleStore("s3://models/other").index()
    assert "wrong-and-private" not in str(refused.value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.environment["AWS_SECRET_ACCESS_KEY"])
    monkeypatch.setattr(root, "ANSWER_SECONDS", 1.0)
    s3.hang()
    try:
        with pytest.raises(StoreError, match=s3.endpoint):
            BundleStore("s3://models/other").index()
    finally:
        s3.go_on()
    assert BundleStore("s3://models/other").index().acts == ()


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "has no name"),
        ("ftp://host/path", "ftp"),
        ("s3://user:secret@bucket/path", "holds a password"),
        ("s3://", "store s3://: "),
    ],
)
def test_what_is_no_store_is_refused_in_one_line(uri: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as refused:
        BundleStore(uri)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
