"""Publish, promote, roll back, fetch and retire versions of the bundle."""

import hashlib
import shutil
from pathlib import Path

import pyarrow.fs as pafs

from higr.bundle import Bundle, Manifest, parse_manifest
from higr.errors import InputError, StoreError
from higr.files import atomic_directory
from higr.progress import Progress, no_progress
from higr.store import history
from higr.store.history import Act, Index, Published
from higr.store.root import Root

VERSIONS = "versions"
MANIFEST = "manifest.json"


class BundleStore:
    """All methods raise StoreError where the store does not answer or its history does not add up.

    >>> store = BundleStore("s3://models/higr")                         # doctest: +SKIP
    >>> version = store.publish(Path("runs/demo/bundle"), by="training")
    >>> store.promote(version, by="rollout", reason="watch time up 3 %")
    """

    def __init__(self, uri: str) -> None:
        self.root = Root.open(uri)

    def index(self) -> Index:
        """What is there, and what is in production."""
        return history.read(self.root)

    def uri(self, version: str) -> str:
        """What serving loads this version from: a KServe storage URI, where the store is a bucket."""
        return f"{self.root.name}/{VERSIONS}/{version}"

    def publish(
        self, folder: Path, by: str, reason: str = "", progress: Progress = no_progress
    ) -> tuple[str, bool]:
        """Verify a bundle, copy it to the store, and put it on record; nothing serves it yet.

        The manifest goes last, and the record after it: what was interrupted is not there, and publishing
        again completes it.

        Returns:
            Its version, and whether files were written.

        Raises:
            BundleError: the bundle is incomplete or altered.
            StoreError: the store holds another content under this version.
        """
        bundle = Bundle.open(folder)
        digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        index = self.index()
        held = index.versions.get(bundle.version)
        if held is not None and held.manifest != digest:
            raise StoreError(
                f"store {self.root.name} holds version {bundle.version} with another manifest; "
                "a version never changes: build the bundle again"
            )
        recorded = held is not None and not held.retired
        if recorded and not self._missing(bundle.manifest):
            return bundle.version, False
        files = [*sorted(bundle.manifest.files), MANIFEST]
        for done, name in enumerate(files):
            progress("publish", done, len(files))
            self._upload(folder / name, self.root.at(VERSIONS, bundle.version, name))
        progress("publish", len(files), len(files))
        if not recorded:
            history.append(self.root, self.index(), "publish", bundle.version, by, reason, digest)
        return bundle.version, True

    def promote(self, version: str, by: str, reason: str = "") -> Act | None:
        """Put a version in production; none if it is there already.

        Raises:
            StoreError: no such version, or some of its files are missing or altered.
        """
        index = self.index()
        self._whole(index, version)
        if index.production == version:
            return None
        return history.append(self.root, index, "promote", version, by, reason)

    def rollback(self, by: str, reason: str = "") -> Act:
        """Put back in production what was there before; a second time, what was there before that.

        Raises:
            StoreError: nothing was there before, or it is not whole any more.
        """
        index = self.index()
        if index.previous is None:
            now = f"{index.production} is the first" if index.production else "there is none"
            raise StoreError(
                f"store {self.root.name}: nothing to roll back to, of the versions in production {now}"
            )
        self._whole(index, index.previous)
        return history.append(self.root, index, "rollback", index.previous, by, reason)

    def fetch(self, version: str, folder: Path, progress: Progress = no_progress) -> Bundle:
        """Copy a version to a new folder of this machine and verify it there.

        Raises:
            InputError: the folder exists.
            BundleError: what came is incomplete or altered; nothing is left behind.
        """
        if folder.exists():
            raise InputError(f"{folder} exists; name a new folder, a bundle is never overwritten")
        manifest = self.manifest(version)
        files = [*sorted(manifest.files), MANIFEST]
        with atomic_directory(folder) as aside:
            for done, name in enumerate(files):
                progress("fetch", done, len(files))
                self._download(self.root.at(VERSIONS, version, name), aside / name)
            progress("fetch", len(files), len(files))
            Bundle.open(aside)
        return Bundle(folder, manifest)

    def manifest(self, version: str) -> Manifest:
        """What a version's manifest says, checked against the record of its publication.

        Raises:
            StoreError: no such version, or the manifest was altered.
        """
        return self._manifest(self._known(self.index(), version))

    def read(self, version: str, name: str, folder: Path) -> Path:
        """One file of a version, in `folder`."""
        target = folder / name
        self._download(self.root.at(VERSIONS, version, name), target)
        return target

    def retain(self, keep: int, by: str) -> list[str]:
        """Remove the oldest versions, all but `keep`.

        What is in production, what a rollback would bring back, and the newest, which may be on its way to
        users, stay and count among them.

        Returns:
            Those that were removed.
        """
        if keep < 1:
            raise StoreError(f"keep is {keep}; at least 1 version has to stay")
        removed: list[str] = []
        while True:
            index = self.index()  # anew each time: somebody may promote one meanwhile
            live = [p.version for p in index.versions.values() if not p.retired]
            needed = {index.production, index.previous, *live[-1:]}
            others = [version for version in live if version not in needed]
            if len(live) <= keep or not others:
                break
            history.append(self.root, index, "retire", others[0], by, f"keep {keep}")
            removed.append(others[0])
        # Also what an earlier call put on record and could not remove.
        retired = {p.version for p in self.index().versions.values() if p.retired}
        for version in sorted(retired):
            if not self._files(version):
                continue
            with self.root.reached():
                self.root.files.delete_dir(self.root.at(VERSIONS, version))
        return removed

    def _known(self, index: Index, version: str) -> Published:
        held = index.versions.get(version)
        if held is None or held.retired:
            state = "was retired" if held else "was never published"
            raise StoreError(
                f"store {self.root.name}: version {version} {state}; `higr bundle list` shows what is there"
            )
        return held

    def _manifest(self, held: Published) -> Manifest:
        name = f"store {self.root.name}, version {held.version}"
        try:
            content = self.root.read(VERSIONS, held.version, MANIFEST)
        except FileNotFoundError:
            raise StoreError(f"{name}: manifest.json is missing; publish the bundle again") from None
        if hashlib.sha256(content).hexdigest() != held.manifest:
            raise StoreError(f"{name}: manifest.json does not match its checksum; it was altered")
        return parse_manifest(content, name)

    def _whole(self, index: Index, version: str) -> None:
        """Every file of the manifest is there; their content is verified by whoever loads them."""
        manifest = self._manifest(self._known(index, version))
        if missing := self._missing(manifest):
            raise StoreError(
                f"store {self.root.name}, version {version}: {missing[0]} is missing "
                f"({len(missing)} in all); publish the bundle again"
            )

    def _missing(self, manifest: Manifest) -> list[str]:
        return sorted({MANIFEST, *manifest.files} - self._files(manifest.version))

    def _files(self, version: str) -> set[str]:
        folder = self.root.at(VERSIONS, version)
        everything = pafs.FileSelector(folder, recursive=True, allow_not_found=True)
        with self.root.reached():
            found = self.root.files.get_file_info(everything)
        return {info.path.removeprefix(f"{folder}/") for info in found if info.is_file}

    def _upload(self, source: Path, target: str) -> None:
        with self.root.reached():
            if isinstance(self.root.files, pafs.LocalFileSystem):
                Path(target).parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as read, self.root.files.open_output_stream(target) as write:
                shutil.copyfileobj(read, write, 1 << 20)

    def _download(self, source: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            self.root.reached(),
            self.root.files.open_input_stream(source) as read,
            target.open("wb") as write,
        ):
            shutil.copyfileobj(read, write, 1 << 20)
