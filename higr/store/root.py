"""The root of a store: a folder of this machine, or a bucket that pyarrow reads."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.fs as pafs

from higr.errors import StoreError

ENDPOINT = "AWS_ENDPOINT_URL"
CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 10.0
"""Of one try at S3; there are two. An answer is the next bytes of a file, not all of it."""


@dataclass(frozen=True)
class Root:
    """Attributes:
    name: as it was given, without what follows a `?`.
    path: inside the file system.
    """

    name: str
    files: pafs.FileSystem
    path: str

    @classmethod
    def open(cls, uri: str) -> "Root":
        """A path, or a URI such as `s3://bucket/prefix` or `gs://bucket/prefix`.

        Credentials and the endpoint of S3 come from the environment (AWS_ACCESS_KEY_ID,
        AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL) or from where AWS's own tools look; a URI holds no secret.

        Raises:
            StoreError: no such kind of store, or a URI with a password in it.
        """
        name = uri.partition("?")[0].rstrip("/")
        if not name:
            raise StoreError("the store has no name; give a folder or a URI such as s3://bucket/prefix")
        if "://" not in uri:
            folder = Path(name).absolute()
            if folder.exists() and not folder.is_dir():
                raise StoreError(f"store {name} is a file; give a folder")
            return cls(name, pafs.LocalFileSystem(), str(folder))
        if "@" in name.partition("://")[2].partition("/")[0]:
            raise StoreError("the store's URI holds a password; give credentials by the environment")
        try:
            if name.startswith("s3://"):
                files, path = _s3(), name.removeprefix("s3://")
            else:
                files, path = pafs.FileSystem.from_uri(uri)
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise StoreError(f"store {name}: {_first_line(error)}; see `higr bundle --help`") from None
        if not path.strip("/"):
            raise StoreError(f"store {uri}: no bucket; give s3://bucket/prefix")
        return cls(name, files, path.rstrip("/"))

    def at(self, *names: str) -> str:
        """Path of something below the root."""
        return str(PurePosixPath(self.path, *names))

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Errors of the file system in the words of the user."""
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            endpoint = f" at {os.environ[ENDPOINT]}" if ENDPOINT in os.environ and "://" in self.name else ""
            raise StoreError(
                f"store {self.name}{endpoint}: {_first_line(error)}; check that it is reachable and that "
                "these credentials may use it"
            ) from None

    def names(self, folder: str) -> list[str]:
        """Of what is directly in a folder, sorted; none where there is no such folder."""
        with self.reached():
            found = self.files.get_file_info(pafs.FileSelector(self.at(folder), allow_not_found=True))
        return sorted(info.base_name for info in found)

    def read(self, *names: str) -> bytes:
        """A small file.

        Raises:
            FileNotFoundError: it is not there.
            StoreError: the store does not answer.
        """
        with self.reached():
            if self.files.get_file_info(self.at(*names)).type == pafs.FileType.NotFound:
                missing = True
            else:
                missing = False
                with self.files.open_input_stream(self.at(*names)) as stream:
                    content: bytes = stream.read()
        if missing:
            raise FileNotFoundError(self.at(*names))
        return content

    def write(self, content: bytes, *names: str) -> None:
        """A small file as a whole: a reader sees all of it or none."""
        target = self.at(*names)
        local = isinstance(self.files, pafs.LocalFileSystem)
        written = f"{target}.part" if local else target
        with self.reached():
            if local:
                self.files.create_dir(str(PurePosixPath(target).parent), recursive=True)
            with self.files.open_output_stream(written) as stream:
                stream.write(content)
            if local:
                self.files.move(written, target)


def _s3() -> pafs.FileSystem:
    """Pyarrow's own reading of a URI waits a minute and a half for a server that hangs."""
    scheme, _, host = os.environ.get(ENDPOINT, "").rpartition("://")
    return pafs.S3FileSystem(
        scheme=scheme or "https",
        endpoint_override=host or None,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=ANSWER_SECONDS,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=2),
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
