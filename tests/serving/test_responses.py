"""Which answers count as what."""

import asyncio
from typing import Any

import pytest

from serving.responses import Responses


def counted(path: str, status: int | None, method: str = "POST", kind: str = "http") -> list[tuple[str, str]]:
    """What is counted when the application answers with a status, or fails where it is None."""
    seen: list[tuple[str, str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if status is None:
            raise RuntimeError("unforeseen")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nothing(*_: Any) -> Any:
        return {}

    middleware = Responses(app, "slates", count=lambda *labels: seen.append(labels))
    try:
        asyncio.run(middleware({"type": kind, "method": method, "path": path}, nothing, nothing))
    except RuntimeError:
        assert status is None
    return seen


@pytest.mark.parametrize(
    ("path", "status", "labels"),
    [
        ("/v1/models/higr:predict", 200, ("slates", "2xx")),
        ("/v2/models/higr/infer", 200, ("slates", "2xx")),
        ("/v1/models/higr:predict", 400, ("slates", "4xx")),
        ("/v1/models/higr:predict", 413, ("slates", "4xx")),
        ("/v1/models/higr:predict", 504, ("slates", "5xx")),
        ("/v1/models/higr:predict", None, ("slates", "5xx")),
        ("/v1/feedback", 503, ("feedback", "5xx")),
    ],
)
def test_counted(path: str, status: int | None, labels: tuple[str, str]) -> None:
    assert counted(path, status) == [labels]


@pytest.mark.parametrize(
    ("path", "method", "kind"),
    [
        ("/metrics", "GET", "http"),
        ("/v2/models/higr/ready", "GET", "http"),
        ("/wp-login.php", "POST", "http"),
        ("/v1/models/higr:predict", "POST", "lifespan"),
    ],
)
def test_not_counted(path: str, method: str, kind: str) -> None:
    assert counted(path, 200, method, kind) == []
