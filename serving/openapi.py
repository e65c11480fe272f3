"""The OpenAPI document of what is served. KServe's own says nothing of bodies and lists what is closed."""

from typing import Any

from pydantic.json_schema import models_json_schema

from serving.schemas import (
    FeedbackRequest,
    FeedbackResponse,
    PredictorRequest,
    PredictorResponse,
    PredictRequest,
    PredictResponse,
    Wire,
)
from serving.tensors import TensorRequest, TensorResponse

REF = "#/components/schemas/{model}"


class Problem(Wire):
    """An error: what is wrong with which field, as `instances[0].slate_size`."""

    error: str
    field: str


class Failure(Wire):
    """No slate for want of something on our side."""

    error: str


def document(
    name: str, message: type[PredictRequest] | type[PredictorRequest], *, feedback: bool, tokens: bool
) -> dict[str, Any]:
    """Of the endpoints of one process.

    Args:
        name: of its model.
        message: what the model takes: a client's requests, or the transformer's.
        feedback: `/v1/feedback` is served.
        tokens: a token is asked for.
    """
    own = message is PredictRequest
    answers = PredictResponse if own else PredictorResponse
    paths = {
        f"/v1/models/{name}:predict": _post("Slates", message, answers),
        **_probes(name),
    }
    if own:
        paths[f"/v2/models/{name}/infer"] = _post("Slates as tensors", TensorRequest, TensorResponse)
    if feedback:
        paths["/v1/feedback"] = _post("What became of items", FeedbackRequest, FeedbackResponse)
    used: list[type[Wire]] = [message, answers, Problem, Failure]
    used += [TensorRequest, TensorResponse] if own else []
    used += [FeedbackRequest, FeedbackResponse] if feedback else []
    _, schemas = models_json_schema([(model, "validation") for model in used], ref_template=REF)
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": f"HiGR: {name}", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
    }
    if tokens:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for operations in paths.values():
            if "post" in operations:
                operations["post"]["security"] = [{"token": []}]
                operations["post"]["responses"]["401"] = _answer("No token that is known", Problem)
    return made


def _post(summary: str, request: type[Wire], response: type[Wire]) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": _json(request)},
            "responses": {
                "200": _answer("In the order of the request", response),
                "400": _answer("It cannot be taken; some limits depend on the bundle", Problem),
                "408": _answer("It came too slowly", Problem),
                "413": _answer("The body is too long", Problem),
                "431": _answer("The headers are too long", Problem),
                "503": _answer("Too much at once, or a disk that does not take it", Failure),
                "504": _answer("The deadline passed", Failure),
            },
        }
    }


def _probes(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": "It is",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    text = {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "/": {"get": {"summary": "Alive", "responses": {"200": found}}},
        f"/v2/models/{name}/ready": {
            "get": {
                "summary": "Ready",
                "responses": {
                    "200": found,
                    "404": _answer("It is being stopped", Problem),
                    "503": _answer("Not yet", Failure),
                },
            }
        },
        "/metrics": {"get": {"summary": "Prometheus", "responses": {"200": text}}},
    }


def _answer(description: str, model: type[Wire]) -> dict[str, Any]:
    return {"description": description, "content": _json(model)}


def _json(model: type[Wire]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REF.format(model=model.__name__)}}}
