"""KServe's gRPC server with tokens, bounds, and errors that say what the client can mend and no more."""

from collections.abc import Awaitable, Callable
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import StatusCode, aio
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as services
from kserve.protocol.grpc.server import GRPCServer
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.infer_type import InferRequest

from higr import metrics as names
from serving.auth import OPEN_CALLS, REFUSAL
from serving.config import LimitsConfig
from serving.failures import log_failure
from serving.http_server import MAX_HEAD_BYTES
from serving.metrics import Metrics
from serving.schemas import RequestError
from serving.tokens import Tokens
from serving.v2 import InvalidTensors

AGE_SECONDS = 600
"""Of a connection, then clients make another: one that began a call and never ends it goes with it."""
GRACE_SECONDS = 10


def bounded(
    limits: LimitsConfig, max_message_bytes: int, tokens: Tokens | None, metrics: Metrics
) -> type[GRPCServer]:
    """KServe's server with these limits; it makes its own from the class."""

    class BoundedServer(GRPCServer):
        async def start(self, max_workers: int) -> None:
            options = {
                "max_send_message_length": max_message_bytes,
                "max_receive_message_length": max_message_bytes,
                "max_concurrent_streams": limits.calls,
                "max_metadata_size": MAX_HEAD_BYTES,
                "absolute_max_metadata_size": MAX_HEAD_BYTES,
                "server_handshake_timeout_ms": int(limits.request_seconds * 1000),
                "max_connection_age_ms": AGE_SECONDS * 1000,
                "max_connection_age_grace_ms": GRACE_SECONDS * 1000,
            }
            self._server = aio.server(
                futures.ThreadPoolExecutor(max_workers=max_workers),
                interceptors=(_Door(tokens, metrics),),
                options=[(f"grpc.{name}", value) for name, value in options.items()],
                maximum_concurrent_rpcs=limits.calls,
            )
            services.add_GRPCInferenceServiceServicer_to_server(
                _Servicer(self._data_plane, self._model_repository_extension), self._server
            )
            self._server.add_insecure_port(f"[::]:{self._port}")
            await self._server.start()
            await self._server.wait_for_termination()

    return BoundedServer


class _Servicer(InferenceServicer):
    async def ModelInfer(self, request: Any, context: Any) -> Any:
        try:
            self.validate_grpc_request(request)
            asked = InferRequest.from_grpc(request)
        except Exception:
            # Each datatype and each field that is missing fails in a way of its own.
            raise InvalidTensors(
                "inputs", "inputs", "they cannot be read; give each tensor the contents of its datatype"
            ) from None
        answer, _ = await self._data_plane.infer(request=asked, model_name=request.model_name)
        return answer.to_grpc()


class _Door(aio.ServerInterceptor):
    """Around each call: a token, a message that can be read, an error that has a status."""

    def __init__(self, tokens: Tokens | None, metrics: Metrics) -> None:
        self._tokens, self._metrics = tokens, metrics

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        if handler is None:
            return None
        welcome = self._is_welcome(details)

        async def answer(message: bytes, context: aio.ServicerContext) -> Any:
            if not welcome:
                self._metrics.count(names.REJECTED, "authorization")
                await context.abort(StatusCode.UNAUTHENTICATED, REFUSAL)
            try:
                return await handler.unary_unary(handler.request_deserializer(message), context)
            except DecodeError:
                status, text = StatusCode.INVALID_ARGUMENT, "body: no message of this call"
            except RequestError as error:
                self._metrics.count(names.REJECTED, error.field)
                status, text = StatusCode.INVALID_ARGUMENT, str(error)
            except InvalidInput:
                status, text = StatusCode.INVALID_ARGUMENT, "body: it cannot be taken"
            except ModelNotFound:
                status, text = StatusCode.NOT_FOUND, "model_name: no such model"
            except ModelNotReady:
                status, text = StatusCode.UNAVAILABLE, "not ready"
            except Exception as error:
                log_failure(error)
                status, text = StatusCode.INTERNAL, "internal error"
            return await context.abort(status, text)

        return grpc.unary_unary_rpc_method_handler(answer, response_serializer=handler.response_serializer)

    def _is_welcome(self, details: grpc.HandlerCallDetails) -> bool:
        if self._tokens is None or details.method.rpartition("/")[2] in OPEN_CALLS:
            return True
        shown = [value for name, value in details.invocation_metadata or () if name == "authorization"]
        return self._tokens.allow([value.encode() if isinstance(value, str) else value for value in shown])
