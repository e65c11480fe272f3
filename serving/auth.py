"""Who may ask: a bearer token for everything but what a cluster's own machinery has to see.

Kubelets and Prometheus probe without tokens. What they get says whether a process is well, never whom it
serves.
"""

import re
from collections.abc import Callable

from serving.guard import App, Message, Receive, Send, answer
from serving.tokens import Tokens

OPEN_PATHS = re.compile(r"/(metrics|explorer|v2/health/(live|ready)|v2/models/[^/]+/ready|v1/models/[^/:]+)?")
"""Of GET and HEAD; the page of the explorer holds no data. A path that is not here asks for a token, whoever
adds it."""
OPEN_CALLS = frozenset({"ServerLive", "ServerReady", "ModelReady"})
"""The same of gRPC."""
REFUSAL = "authorization: a bearer token that this server knows is due"


class Auth:
    """ASGI middleware: 401 for a request without a token, before anything of its body is read."""

    def __init__(self, app: App, tokens: Tokens, on_refused: Callable[[], None]) -> None:
        self._app, self._tokens, self._on_refused = app, tokens, on_refused

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._may_pass(scope):
            await self._app(scope, receive, send)
            return
        self._on_refused()
        challenge = (b"www-authenticate", b'Bearer realm="higr"')
        await answer(send, 401, REFUSAL, "authorization", challenge)

    def _may_pass(self, scope: Message) -> bool:
        if scope["method"] in ("GET", "HEAD") and OPEN_PATHS.fullmatch(scope["path"]):
            return True
        return self._tokens.allow([value for name, value in scope["headers"] if name == b"authorization"])
