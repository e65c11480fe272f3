"""The Open Inference Protocol (V2) as JSON: messages and limits. What the tensors mean: `serving.v2`."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from serving.schemas import Id, Wire

MAX_TENSORS = 8
MAX_ELEMENTS = 10_000
"""Of a tensor, before the limits of what the tensors mean."""

Parameters = Annotated[
    dict[Id, bool | int | float | Annotated[str, Field(max_length=1024)]], Field(max_length=16)
]


def _elements(values: list[Any]) -> list[Any]:
    for value in values:
        alone = value[0] if isinstance(value, list) and len(value) == 1 else value
        if not isinstance(alone, str | int | float):
            raise ValueError("strings, numbers or booleans are due, each alone or in a list of one")
    return values


ELEMENT = {"type": ["string", "number", "boolean"]}
Elements = Annotated[
    list[Any],
    Field(max_length=MAX_ELEMENTS),
    AfterValidator(_elements),
    WithJsonSchema(
        {
            "type": "array",
            "maxItems": MAX_ELEMENTS,
            "items": {"anyOf": [ELEMENT, {"type": "array", "items": ELEMENT, "minItems": 1, "maxItems": 1}]},
        }
    ),
]


class Tensor(Wire):
    """One tensor of a request: `data` in row-major order, or binary behind the JSON."""

    name: Id
    shape: Annotated[list[int], Field(max_length=8)]
    datatype: Annotated[str, Field(min_length=1, max_length=16)]
    parameters: Parameters | None = None
    data: Elements | None = None


class TensorWanted(Wire):
    """Taken, and without effect: every output is sent."""

    name: Id
    parameters: Parameters | None = None


class TensorRequest(Wire):
    """Body of `POST /v2/models/higr/infer`."""

    id: Id | None = None
    model_name: Id | None = Field(default=None, description="the path says it; KServe's client repeats it")
    parameters: Parameters | None = None
    inputs: Annotated[list[Tensor], Field(min_length=1, max_length=MAX_TENSORS)]
    outputs: Annotated[list[TensorWanted], Field(max_length=64)] | None = None


class TensorAnswered(Wire):
    """One tensor of the answer."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: list[Any]


class TensorResponse(Wire):
    """Body of the answer."""

    id: str
    model_name: str
    model_version: str | None = None
    parameters: Parameters | None = None
    outputs: list[TensorAnswered]
