"""Answers counted by endpoint and class of status, whoever gave them: handler, guard or a fault."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Responses:
    """ASGI middleware, the outermost. Health, metrics and unknown paths are not counted.

    Args:
        model: what answers of the model are counted as: slates, or decode where it is the predictor.
        count: takes endpoint (`model`, or feedback) and status (2xx, 4xx, 5xx).
    """

    def __init__(self, app: App, model: str, count: Callable[[str, str], None]) -> None:
        self._app, self._model, self._count = app, model, count

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        endpoint = self._endpoint(scope)
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        counted = False

        def count(status: int) -> None:
            nonlocal counted
            counted = True
            self._count(endpoint, f"{status // 100}xx")

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, counting)
        except Exception:
            if not counted:  # the server answers 500 further out
                count(500)
            raise

    def _endpoint(self, scope: Message) -> str | None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return None
        path: str = scope["path"]
        if path == "/v1/feedback":
            return "feedback"
        return self._model if path.endswith((":predict", "/infer")) else None
