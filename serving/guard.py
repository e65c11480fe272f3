"""What KServe leaves open: bodies of any size, unloading by anybody, work for clients that have gone."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from serving.failures import log_failure

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

CLOSED = "/v2/repository"
MAX_BODY_BYTES = 2 * 1024 * 1024
"""Of a client's request; the transformer's own are longer, for features go with them."""
MAX_PREDICTOR_BODY_BYTES = 16 * 1024 * 1024
HELD_BYTES = 48 * 1024 * 1024
"""Of bodies that may be in memory at once; what is read out of them takes about five times as much."""


class Guard:
    """ASGI middleware: 413 for a body over `max_bytes`, 404 for the model repository.

    The body is read here, before anything is parsed, and handed on whole; 503 when those of all requests fill
    the memory for them. A client that goes away takes its work along: it is cancelled. An error that nobody
    foresaw is answered 500 without a word of it.
    """

    def __init__(self, app: App, max_bytes: int, on_too_large: Callable[[], None]) -> None:
        self._app, self._max_bytes, self._on_too_large = app, max_bytes, on_too_large
        self._held = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(CLOSED):
            await answer(send, 404, "path: not served here", "path")
            return
        body = bytearray()
        started = False

        async def begin(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if await self._read(scope, receive, begin, body):
                await self._run(scope, receive, begin, bytes(body))
        except Exception as error:
            # Further out it would be logged with its text.
            log_failure(error)
            if not started:
                await answer(send, 500, "internal error", None)
        finally:
            self._held -= len(body)

    async def _read(self, scope: Message, receive: Receive, send: Send, body: bytearray) -> bool:
        """Whether all of it is there; else the client has its answer, or is gone."""
        too_large = f"body: more than {self._max_bytes} bytes; send fewer instances"
        if _declared(scope) > self._max_bytes:
            self._on_too_large()
            await answer(send, 413, too_large, "body", CLOSE)
            return False
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return False
            more = message.get("body", b"")
            body += more
            self._held += len(more)
            if len(body) > self._max_bytes:
                self._on_too_large()
                await answer(send, 413, too_large, "body", CLOSE)
                return False
            if self._held > HELD_BYTES:
                await answer(send, 503, "too many long requests at once; come back later", None, CLOSE, RETRY)
                return False
            if not message.get("more_body", False):
                return True

    async def _run(self, scope: Message, receive: Receive, send: Send, body: bytes) -> None:
        delivered = False

        async def replay() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": body, "more_body": False}

        if not body:  # nothing that costs anything
            await self._app(scope, replay, send)
            return
        work = asyncio.ensure_future(self._app(scope, replay, send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.wait((work, gone))


CLOSE = (b"connection", b"close")
"""What is left of the body is not read, so the connection cannot be used again."""
RETRY = (b"retry-after", b"1")


async def answer(send: Send, status: int, error: str, field: str | None, *more: tuple[bytes, bytes]) -> None:
    """An error as all of them look.

    Args:
        more: headers beside type and length.
    """
    content = problem(error, field)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def problem(error: str, field: str | None) -> bytes:
    """The body of an error; `field` where the request has one at fault."""
    return orjson.dumps({"error": error} if field is None else {"error": error, "field": field})


def _declared(scope: Message) -> int:
    """Bytes of the body as its head says; 0 where it does not."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
