"""`GET /explorer`: a page that asks the endpoint for slates and shows what came, and why.

One HTML file without any other font, style, image or script, put together once from the files beside this
one. It runs by the hash of its own script and no other; what comes from data is set as text, never as HTML.
What is asked stands in the fragment of the address, which browsers do not send: no log of a proxy holds it.
"""

import base64
import hashlib
from collections.abc import Callable
from importlib import resources

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse

from serving.config import DebugConfig
from serving.debug import PRIVATE
from serving.served import Served

SCRIPTS = ("address.js", "ask.js", "elements.js", "slate.js", "beside.js", "page.js")
"""In this order, as one script."""


def explorer_router(model_name: str, served: Callable[[], Served], config: DebugConfig) -> APIRouter:
    """The page, and what it has to know of this process."""
    router = APIRouter()
    document, policy = _page()

    @router.get("/explorer")
    async def page() -> HTMLResponse:
        return HTMLResponse(document, headers={**PRIVATE, "content-security-policy": policy})

    @router.get("/explorer/settings")
    async def settings() -> JSONResponse:
        now = served()
        return JSONResponse(
            {
                "model": model_name,
                "version": now.version,
                "slate_size": now.slate_size,
                "max_slate_size": now.max_slate_size,
                "debug": config.slate,
                "users": list(config.users),
            },
            headers=PRIVATE,
        )

    return router


def _page() -> tuple[str, str]:
    """The document, and the content security policy it can live with: nothing but itself and this server."""
    style = _read("page.css")
    script = "\n".join(_read(name) for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();'
    document = _read("page.html").replace("/*style*/", style).replace("/*script*/", script)
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return document, policy


def _read(name: str) -> str:
    return resources.files("serving.explorer").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
