"""The endpoint in the Open Inference Protocol (V2), for REST and gRPC: tensors in, tensors out.

Importing this module imports kserve, see `serving.server`.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
from kserve import InferInput, InferOutput, InferRequest, InferResponse
from kserve.errors import InvalidInput

from serving.schemas import Prediction, RequestError
from serving.tensors import MAX_ELEMENTS

FIELDS = {"user_id": "BYTES", "slate_size": "INT", "surface": "BYTES", "request_id": "BYTES"}
"""Tensors (n) or (n, 1) by which n slates are asked for; the first is required."""
WHOLE = "instance"
"""Instead of them: a BYTES tensor with an instance of V1, as JSON, an element."""


class InvalidTensors(RequestError, InvalidInput):
    """A `RequestError` that gRPC answers with INVALID_ARGUMENT."""

    def __init__(self, path: str, field: str, problem: str) -> None:
        RequestError.__init__(self, path, field, problem)
        self.reason = f"{path}: {problem}"


def instances_of(request: InferRequest) -> list[Any]:
    """The instances of V1 that the tensors stand for; their fields are not checked here.

    Raises:
        InvalidTensors: a tensor that is missing, unknown, twice there, of another type or length.
    """
    tensors: dict[str, InferInput] = {}
    for tensor in request.inputs:
        if tensor.name not in (*FIELDS, WHOLE):
            known = ", ".join((*FIELDS, WHOLE))
            raise InvalidTensors("inputs", "inputs", f"no tensor {tensor.name[:64]!r}; there are {known}")
        if tensor.name in tensors:
            raise InvalidTensors("inputs", "inputs", f"tensor {tensor.name} is there twice")
        tensors[tensor.name] = tensor
    if WHOLE in tensors:
        if len(tensors) > 1:
            raise InvalidTensors("inputs", "inputs", f"{WHOLE} says all; send no other tensor with it")
        return [_parsed(row, value) for row, value in enumerate(_values(tensors[WHOLE], "BYTES"))]
    if "user_id" not in tensors:
        raise InvalidTensors("inputs", "inputs", f"no tensor user_id; send it, or {WHOLE}")
    columns = {name: _values(tensor, FIELDS[name]) for name, tensor in tensors.items()}
    count = len(columns["user_id"])
    for name, values in columns.items():
        if len(values) != count:
            raise InvalidTensors(f"inputs.{name}", "inputs", f"{len(values)} elements for {count} of user_id")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def response_of(name: str, request_id: str | None, predictions: Sequence[Prediction]) -> InferResponse:
    """Tensors of n slates of at most M items; behind the end of a shorter one "" and 0."""
    longest = max(len(prediction.items) for prediction in predictions)

    def padded(of: Callable[[Any], Any], filler: Any) -> list[list[Any]]:
        rows = [[of(item) for item in prediction.items] for prediction in predictions]
        return [row + [filler] * (longest - len(row)) for row in rows]

    outputs = [
        _output("item_ids", "BYTES", padded(lambda item: item.item_id, "")),
        _output("scores", "FP32", padded(lambda item: item.score, 0.0)),
        _output("disclosures", "BYTES", padded(lambda item: item.disclosure or "", "")),
        _output("lengths", "INT32", [len(prediction.items) for prediction in predictions]),
        _output("request_id", "BYTES", [prediction.request_id for prediction in predictions]),
        _output("source", "BYTES", [prediction.source for prediction in predictions]),
        _output("fallback_reason", "BYTES", [prediction.fallback_reason or "" for prediction in predictions]),
        _output("degraded", "BOOL", [prediction.degraded for prediction in predictions]),
        _output("model_version", "BYTES", [prediction.model_version for prediction in predictions]),
    ]
    return InferResponse(request_id or uuid.uuid4().hex, name, outputs)


def _values(tensor: InferInput, kind: str) -> list[Any]:
    """The elements of a tensor (n) or (n, 1)."""
    path = f"inputs.{tensor.name}"
    if not tensor.datatype.startswith(kind):
        raise InvalidTensors(path, "inputs", f"datatype {tensor.datatype[:16]!r}; {kind} is due")
    shape = list(tensor.shape)
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)) or not 1 <= shape[0] <= MAX_ELEMENTS:
        raise InvalidTensors(path, "inputs", f"shape {shape[:4]}; (n) or (n, 1) is due")
    try:
        values = tensor.as_numpy().reshape(-1)
        return [_text(value) if kind == "BYTES" else int(value) for value in values]
    except Exception:
        # Each datatype and each length that is wrong fails in a way of its own.
        problem = f"not {shape[0]} elements of {tensor.datatype[:16]}"
        raise InvalidTensors(path, "inputs", problem) from None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _parsed(row: int, value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidTensors(f"inputs.{WHOLE}[{row}]", "inputs", f"not JSON: {error}") from None


def _output(name: str, datatype: str, values: Any) -> InferOutput:
    kinds = {"BYTES": np.object_, "FP32": np.float32, "INT32": np.int32, "BOOL": np.bool_}
    array: np.ndarray = np.array(values, dtype=kinds[datatype])
    if datatype == "BYTES":
        array = np.array([text.encode() for text in array.reshape(-1)], np.object_).reshape(array.shape)
    output = InferOutput(name, list(array.shape), datatype)
    output.set_data_from_numpy(array, binary_data=False)
    return output
