"""The endpoints that take a body, in the place of KServe's own.

KServe decodes a body before the model sees it: by its content type, as a CloudEvent if a header says so, as
tensors by lengths that the client gives. Each of these fails in ways of its own, as a 500 or with a trace.
Here a body is JSON, whatever its type is said to be.
"""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from kserve import InferRequest
from kserve.protocol.dataplane import DataPlane

from serving.schemas import RequestError, parse, uncollected
from serving.tensors import TensorRequest

JSON_LENGTH = "inference-header-content-length"
"""Header of the binary extension of V2: bytes of the body that are JSON; tensors follow it."""
PASSED = ("traceparent", "tracestate")


def inference_router(plane: DataPlane) -> APIRouter:
    """V1 `:predict` and V2 `infer` of the models of `plane`."""
    router = APIRouter()

    @router.post("/v1/models/{name}:predict")
    async def predict(name: str, request: Request) -> Response:
        answer, _ = await plane.infer(name, await request.body(), _passed(request))
        return _json(answer)

    @router.post("/v1/models/{name}:explain")
    async def explain(name: str) -> Response:
        problem = f"explanations are not served; POST to /v1/models/{name[:64]}:predict"
        raise RequestError("path", "path", problem)

    @router.post("/v2/models/{name}/infer")
    async def infer(name: str, request: Request) -> Response:
        body = await request.body()
        asked = tensors_of(body, request.headers.get(JSON_LENGTH), name)
        answer, _ = await plane.infer(name, asked, _passed(request))
        return _json(answer.to_rest()[0])

    return router


def tensors_of(body: bytes, json_length: str | None, name: str) -> InferRequest:
    """A request of V2, its tensors as JSON or behind it.

    Raises:
        RequestError: not of this form.
    """
    length = len(body)
    if json_length is not None:
        if not json_length.isascii() or not json_length.isdigit() or not 0 < int(json_length[:20]) <= length:
            raise RequestError(JSON_LENGTH, "body", f"bytes of the body that are JSON are due, 1 to {length}")
        length = int(json_length)
    parse(TensorRequest, body[:length])
    try:
        with uncollected():
            return InferRequest.from_bytes(body, length, name)
    except Exception:
        # Each datatype and each length that is wrong fails in a way of its own.
        raise RequestError(
            "inputs", "inputs", "they cannot be read; give data, or binary_data_size and the bytes"
        ) from None


def _passed(request: Request) -> dict[str, str]:
    """Headers that the model sees: those of the caller's trace."""
    return {name: value for name in PASSED if (value := request.headers.get(name)) is not None}


def _json(answer: Any) -> Response:
    return Response(orjson.dumps(answer), media_type="application/json")
