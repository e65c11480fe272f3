"""Where online rows are kept: SQLite in the store's own folder, or Redis.

No password is written down: Feast takes it from the environment each time it opens the store.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from string import whitespace
from typing import Any
from urllib.parse import urlsplit

from higr.errors import InputError

PASSWORD = "HIGR_REDIS_PASSWORD"
"""Environment variable with Redis's password, of whoever opens the store; unset: it has none."""
READ_SECONDS = 0.05
"""Longest wait for Redis while serving. Without one a Redis that hangs holds a reader for ever."""
LOAD_SECONDS = 30.0
"""The same while a whole store is loaded."""


@dataclass(frozen=True)
class Sqlite:
    """One file of the store."""

    def settings(self, seconds: float) -> dict[str, Any]:
        return {"type": "sqlite", "path": "online.db"}

    def __str__(self) -> str:
        return "SQLite"


@dataclass(frozen=True)
class Redis:
    """A server.

    Attributes:
        database: two stores on one server need two, or the later one replaces the rows of the earlier.
    """

    host: str
    port: int
    database: int
    user: str | None
    tls: bool

    @classmethod
    def parse(cls, url: str) -> "Redis":
        """`redis://[USER@]HOST[:PORT][/DATABASE]`, or rediss for TLS.

        Raises:
            InputError: anything else; or there is a password in it.
        """
        try:
            parts = urlsplit(url)
            port, database = parts.port or 6379, int(parts.path.removeprefix("/") or 0)
        except ValueError as error:
            raise InputError(f"--online: {error}; give redis://HOST:PORT/DATABASE") from None
        if parts.password is not None:
            raise InputError(f"--online: no password in the address; give it as the variable {PASSWORD}")
        host, odd = parts.hostname, set(f"{parts.hostname}{parts.username}") & set(",=")
        if parts.scheme not in ("redis", "rediss") or not host or odd or parts.query or database < 0:
            raise InputError(
                f"--online {url.rpartition('@')[2]!r}: no address of Redis; give redis://HOST:PORT/DATABASE"
            )
        return cls(host, port, database, parts.username, parts.scheme == "rediss")

    def settings(self, seconds: float) -> dict[str, Any]:
        """Feast's, with every wait bounded: redis-py by itself tries for seconds where nobody answers.

        Raises:
            InputError: the password cannot be written as Feast reads it.
        """
        options = [
            f"{self.host}:{self.port}",
            f"db={self.database}",
            f"socket_timeout={seconds}",
            f"socket_connect_timeout={seconds}",
            "retry=null",
        ]
        if self.tls:
            options.append("ssl=true")
        if self.user is not None:
            options.append(f"username={self.user}")
        password = os.environ.get(PASSWORD)
        if password:
            if set(password) & set(',"\\' + whitespace):
                raise InputError(
                    f"{PASSWORD}: Feast cannot read a comma, quote, backslash or space; change it"
                )
            options.append(f'password="${{{PASSWORD}}}"')
        return {"type": "redis", "connection_string": ",".join(options)}

    def __str__(self) -> str:
        return f"Redis at {self.host}:{self.port}/{self.database}"


def online_of(url: str | None) -> Sqlite | Redis:
    """None: SQLite."""
    return Sqlite() if url is None else Redis.parse(url)


def be_patient(settings: Any) -> None:
    """Feast's settings of an online store, for work that nobody waits for a moment for."""
    if settings.type == "redis":
        waits = re.compile(r"(socket_timeout|socket_connect_timeout)=[^,]*")
        settings.connection_string = waits.sub(rf"\1={LOAD_SECONDS}", settings.connection_string)


@contextmanager
def reaching() -> Iterator[None]:
    """What Redis says where it cannot be used, as one line.

    Raises:
        InputError: in its place.
    """
    try:
        yield
    except Exception as error:
        # Its client may not be installed where only SQLite is used.
        if type(error).__module__.partition(".")[0] != "redis":
            raise
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"Redis: {what}; see that it is up and lets us in") from None
