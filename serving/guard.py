"""What KServe leaves open: bodies of any size, and load/unload of models by anybody."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

CLOSED = "/v2/repository"
MAX_BODY_BYTES = 2 * 1024 * 1024
"""Of a client's request; the transformer's own are longer, for features go with them."""
MAX_PREDICTOR_BODY_BYTES = 16 * 1024 * 1024


class Guard:
    """ASGI middleware: 413 for a body over `max_bytes`, 404 for the model repository.

    The body is read here, before anything is parsed, and handed on whole.
    """

    def __init__(self, app: App, max_bytes: int, on_too_large: Callable[[], None]) -> None:
        self._app, self._max_bytes, self._on_too_large = app, max_bytes, on_too_large

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(CLOSED):
            await _answer(send, 404, "not served here", "path")
            return
        body = await self._read(receive)
        if body is None:
            self._on_too_large()
            await _answer(send, 413, f"body: more than {self._max_bytes} bytes; send fewer instances", "body")
            return
        delivered = False

        async def replay() -> Message:
            nonlocal delivered
            if delivered:
                return await receive()
            delivered = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                return None
            if not message.get("more_body", False):
                return bytes(body)


async def _answer(send: Send, status: int, error: str, field: str) -> None:
    content = orjson.dumps({"error": error, "field": field})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if status == 413:
        # What is left of the body is not read, so the connection cannot be used again.
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
