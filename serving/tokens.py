"""Bearer tokens: those that this process takes, and the one that it shows.

A file of tokens has a line `NAME:SHA256` a client. It holds no token, so it lets nobody in who reads it.
Plain SHA-256 is right for tokens that are random (`openssl rand -hex 32`); it would not be for passwords.
Nothing here logs or repeats what is in a file or a header.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from higr.errors import InputError
from serving.watched import LiveFile

MAX_FILE_BYTES = 65_536
LINE = re.compile(r"[A-Za-z0-9._-]{1,64}:([0-9a-f]{64})")
BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([\x21-\x7e]{1,1024}) *")
TOKEN = re.compile(r"[\x21-\x7e]{16,1024}")
EMPTY = hashlib.sha256().digest()


class Tokens:
    """The tokens of a file, as it is now.

    Args:
        on_error: called once for each change of the file that could not be taken; the tokens before it stay.

    Raises:
        InputError: no file, no token in it, or a line that is none.
    """

    def __init__(self, path: Path, on_error: Callable[[], None] = lambda: None) -> None:
        self._file = LiveFile(path, read_hashes, "tokens", on_error)

    def allow(self, headers: Sequence[bytes]) -> bool:
        """Whether the values of `Authorization` are one token of the file."""
        shown = BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
        if shown is None:
            return False
        found = hashlib.sha256(shown[1]).digest()
        # All of them, whichever it is: time says nothing of what is in the file.
        return sum(hmac.compare_digest(found, known) for known in self._file.content) > 0


class OwnToken:
    """The token of a file, as it is now; errors as of `Tokens`."""

    def __init__(self, path: Path, on_error: Callable[[], None] = lambda: None) -> None:
        self._file = LiveFile(path, read_token, "token", on_error)

    @property
    def header(self) -> str:
        return f"Bearer {self._file.content}"


def read_hashes(path: Path) -> tuple[bytes, ...]:
    """SHA-256 of each token. Empty lines and those that begin with # are left out.

    Raises:
        InputError: names the line, never what is in it.
    """
    hashes = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.fullmatch(line.strip())
        if found is None:
            raise InputError(
                f"tokens {path}: line {number} is not NAME:SHA256 (64 digits 0-9a-f); see docs/serving.md"
            )
        hashes.append(bytes.fromhex(found[1]))
        if hashes[-1] == EMPTY:
            raise InputError(f"tokens {path}: line {number} is the hash of an empty token; make a new one")
    if not hashes:
        raise InputError(f"tokens {path}: no token in it, so nobody could ask; add a line NAME:SHA256")
    return tuple(hashes)


def read_token(path: Path) -> str:
    """Raises:
    InputError: no file, or its content is no token.
    """
    token = _text(path).strip()
    if TOKEN.fullmatch(token) is None:
        raise InputError(f"token {path}: 16 to 1024 printable characters on one line are due")
    return token


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"tokens {path}: {error.strerror}; give a file that can be read") from None
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"tokens {path}: more than {MAX_FILE_BYTES} bytes; write fewer tokens")
    return content.decode("latin-1")
