"""The bundle as it is now where `--bundle` leads to.

Another one there is opened, verified, loaded and warmed in a thread of its own while the old one goes on
answering; then it is taken, and a request uses one or the other from beginning to end. One that cannot be
taken leaves the old one in place. For a moment both are in memory.
"""

import gc
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from higr.bundle import Bundle
from higr.errors import BundleError, HigrError
from serving.served import Served
from serving.watched import WatchedFile

LOOK_SECONDS = 1.0
RETRY_SECONDS = 30.0
"""After one that could not be taken: it may have been looked at while it was copied."""

logger = logging.getLogger("higr.serving")


class LiveBundle:
    """Args:
        path: a bundle, or a link to one.
        load: all that makes a bundle ready to serve, warming up included.
        on_change: called with the version of each that is taken, the first one too.
        on_error: called once a try that failed.
        roots: folders in which a bundle and its files have to be, links followed; none: anywhere.

    Raises:
        HigrError: the first one cannot be taken.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[Bundle], Served],
        on_change: Callable[[str], None] = lambda version: None,
        on_error: Callable[[], None] = lambda: None,
        roots: Sequence[Path] = (),
    ) -> None:
        self._path, self._load, self._on_change, self._on_error = path, load, on_change, on_error
        self._roots = roots
        self._manifest = WatchedFile(path / "manifest.json")
        self._manifest.changed()  # before it is read: a change while it is read is seen later
        self._served = load(self._open())
        on_change(self._served.version)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="bundle", daemon=True)

    @property
    def served(self) -> Served:
        """Ask once a request: the next look may find another."""
        return self._served

    def watch(self) -> None:
        """From now on look for another one."""
        self._thread.start()

    def close(self) -> None:
        """Look no more; a load that has begun is waited for."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _open(self) -> Bundle:
        # Parts are read when they are needed: a link that moves meanwhile must not mix two bundles.
        whole = self._path.resolve()
        if self._roots and whole.exists():
            self._refuse_outside(whole)
        return Bundle.open(whole if whole.exists() else self._path)

    def _refuse_outside(self, whole: Path) -> None:
        roots = [root.resolve() for root in self._roots]
        for path in (whole, *whole.rglob("*")):
            if not any(path.resolve().is_relative_to(root) for root in roots):
                raise BundleError(
                    f"bundle {self._path}: {path} leads out of bundle_roots; copy it into one of them"
                )

    def _watch(self) -> None:
        wait, failed = LOOK_SECONDS, False
        while not self._closing.wait(wait):
            if self._manifest.changed() or failed:
                failed = not self._take()
            wait = RETRY_SECONDS if failed else LOOK_SECONDS

    def _take(self) -> bool:
        """Whether what is there now is served."""
        try:
            bundle = self._open()
            if bundle.version != self._served.version:
                served = self._load(bundle)
                logger.warning("event=bundle_changed from=%s to=%s", self._served.version, served.version)
                self._served = served
                self._on_change(served.version)
                gc.freeze()  # as at the start, but without a collection, which would stop every request
        except Exception as error:
            # Whatever is wrong with it, the old one serves on.
            message = str(error) if isinstance(error, HigrError) else type(error).__name__
            logger.error("event=bundle_refused kept=%s error=%s", self._served.version, message)
            self._on_error()
            return False
        return True
