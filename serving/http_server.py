"""KServe's HTTP server with the bounds that it and uvicorn lack.

uvicorn waits for ever for a request that was begun, or for none at all, and keeps a head of any length.
"""

import asyncio
import resource
from http import HTTPStatus
from typing import Any, ClassVar

from kserve.protocol.rest.server import RESTServer
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from higr.errors import InputError
from serving.config import LimitsConfig
from serving.guard import problem

MAX_HEAD_BYTES = 16 * 1024
"""Of path and headers of a request."""
OTHER_FILES = 256
"""Open files that a process needs beside its connections."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A request has `request_seconds` to arrive; `connections` is how many there may be."""

    limits: ClassVar[LimitsConfig]

    _head_bytes = 0
    _in_head = True
    _arrival: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; come back later", None)
            return
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._end()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._begin()
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        length = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if length > MAX_HEAD_BYTES:
            self._refuse_head()
            raise ValueError("the head is too long")  # ends the parser's work
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0
        self._end()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            # Closing waits until all is sent, and somebody may never read it.
            self.loop.call_later(self.limits.request_seconds, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._refuse(HTTPStatus.BAD_REQUEST, f"request: {msg}", "request")

    def _begin(self) -> None:
        if self._arrival is None:
            self._arrival = self.loop.call_later(self.limits.request_seconds, self._late)

    def _end(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _late(self) -> None:
        """What began `request_seconds` ago is no whole request yet."""
        self._arrival = None
        if self.transport.is_closing():
            return
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if answering and not cycle.more_body:
            self._begin()  # some bytes behind a request that is being answered
        elif (answering and cycle.response_started) or not (answering or self._head_bytes):
            self.transport.abort()
        else:
            problem = f"request: not whole within {self.limits.request_seconds:g} s; send it faster"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, problem, "request")

    def _refuse_head(self) -> None:
        problem = f"headers: path and headers are more than {MAX_HEAD_BYTES} bytes"
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, problem, "headers")

    def _refuse(self, status: HTTPStatus, error: str, field: str | None) -> None:
        """Answer and close, whatever was asked."""
        content = problem(error, field)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()


def bounded(limits: LimitsConfig) -> type[RESTServer]:
    """KServe's server with these limits; it makes its own from the class.

    Raises:
        InputError: the process may not open as many files as there may be connections.
    """
    _allow_files(limits.connections + OTHER_FILES)
    protocol = type("BoundedProtocol", (BoundedProtocol,), {"limits": limits})

    class BoundedServer(RESTServer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.config.http = protocol
            self.config.ws = "none"
            self.config.server_header = False

    return BoundedServer


def _allow_files(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            most = hard - OTHER_FILES
            raise InputError(
                f"limits.connections: this process may open {hard} files; "
                f"set at most {most} or raise ulimit -n"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
