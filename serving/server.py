"""KServe around transformer and predictor: decoding of bodies, status codes, start and stop.

Importing this module imports kserve, which parses `sys.argv`: see `serving.__main__`.
"""

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import kserve
from fastapi import APIRouter
from kserve import model_server
from kserve.logging import KSERVE_LOG_CONFIG, configure_logging
from kserve.model_server import app

from higr import metrics as names
from serving import grpc_server, http_server, server_errors
from serving.ask import Made, Refused
from serving.auth import Auth
from serving.config import DebugConfig, LimitsConfig
from serving.debug import debug_router
from serving.explorer import explorer_router
from serving.feedback import feedback_router
from serving.feedback_log import FeedbackLog
from serving.guard import Guard
from serving.metrics import Metrics
from serving.openapi import document
from serving.remote import ask_of, response_of
from serving.responses import Responses
from serving.routes import inference_router
from serving.schemas import (
    FeedbackEvent,
    PredictorRequest,
    PredictorResponse,
    PredictRequest,
    RequestError,
    check_sizes,
    parse,
)
from serving.served import Served
from serving.tokens import Tokens
from serving.traces import request_span
from serving.transformer import Transformer
from serving.v2 import InvalidTensors, instances_of
from serving.v2 import response_of as tensors_of

logger = logging.getLogger("higr.serving")

STOP_GRACE_SECONDS = 10
"""Longest wait for requests in flight after SIGTERM."""


class _Model(kserve.Model):
    """What both models share: bodies are checked here, before any work."""

    def __init__(self, name: str, message: type[PredictRequest] | type[PredictorRequest]) -> None:
        super().__init__(name)
        self.message = message
        self.ready = True

    async def preprocess(self, payload: Any, headers: dict[str, str] | None = None) -> Any:
        if isinstance(payload, kserve.InferRequest):
            raise InvalidTensors("path", "path", f"V2 is not served; POST to /v1/models/{self.name}:predict")
        return parse(self.message, payload)


@dataclass(frozen=True, slots=True)
class _Tensors:
    """A request that came as V2.

    Attributes:
        id: of the V2 request, which is answered with it.
    """

    id: str | None
    request: PredictRequest


class PublicModel(_Model):
    """The endpoint: `POST /v1/models/NAME:predict`, `POST /v2/models/NAME/infer`, and gRPC."""

    def __init__(self, name: str, transformer: Transformer) -> None:
        super().__init__(name, PredictRequest)
        self._transformer = transformer

    async def preprocess(self, payload: Any, headers: dict[str, str] | None = None) -> Any:
        if not isinstance(payload, kserve.InferRequest):
            return await super().preprocess(payload, headers)
        instances = instances_of(payload)
        try:
            return _Tensors(payload.id, parse(PredictRequest, {"instances": instances}))
        except RequestError as error:
            raise InvalidTensors(error.path, error.field, str(error).partition(": ")[2]) from None

    async def predict(
        self,
        payload: PredictRequest | _Tensors,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | kserve.InferResponse:
        with request_span("slate", headers):
            return await self._answer(payload)

    async def _answer(self, payload: PredictRequest | _Tensors) -> dict[str, Any] | kserve.InferResponse:
        if isinstance(payload, PredictRequest):
            return (await self._transformer.answer(payload)).model_dump()
        try:
            answer = await self._transformer.answer(payload.request)
        except RequestError as error:
            raise InvalidTensors(error.path, error.field, str(error).partition(": ")[2]) from None
        return tensors_of(self.name, payload.id, answer.predictions)


class PredictorModel(_Model):
    """What the transformer calls when it runs apart; clients have no business with it."""

    def __init__(self, name: str, served: Callable[[], Served]) -> None:
        super().__init__(name, PredictorRequest)
        self._served = served

    async def predict(
        self,
        payload: PredictorRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        with request_span("decode", headers):
            return (await self._made(payload)).model_dump()

    async def _made(self, payload: PredictorRequest) -> PredictorResponse:
        served, now = self._served(), datetime.now(UTC)
        check_sizes((instance.slate_size for instance in payload.instances), served.max_slate_size)
        policy = served.policy.policy
        asks = [ask_of(instance, policy, now) for instance in payload.instances]
        made = await served.predictor.make(
            [ask for ask in asks if ask is not None], payload.deadline_ms / 1000
        )
        slates = iter(made.slates)
        answers = [Refused("other_policy") if ask is None else next(slates) for ask in asks]
        return response_of(Made(answers, made.model_version))


def serve(
    model: PublicModel | PredictorModel,
    http_port: int,
    metrics: Metrics,
    max_body_bytes: int,
    limits: LimitsConfig,
    *,
    feedback: FeedbackLog | None = None,
    grpc_port: int | None = None,
    taken: Callable[[Sequence[FeedbackEvent]], None] | None = None,
    tokens: Tokens | None = None,
    routers: Sequence[APIRouter] = (),
) -> None:
    """Serve until SIGTERM or SIGINT; returns when the requests in flight are answered.

    Args:
        tokens: None: anybody may ask.
    """
    # KServe makes its servers of these classes, and leaves no other place for their settings.
    model_server.RESTServer = http_server.bounded(limits)
    model_server.GRPCServer = grpc_server.bounded(limits, max_body_bytes, tokens, metrics)
    server = kserve.ModelServer(
        http_port=http_port,
        workers=1,  # more would each hold a model; scale by replicas
        enable_grpc=grpc_port is not None,
        grpc_port=grpc_port or 0,
        enable_latency_logging=False,
        grace_period=STOP_GRACE_SECONDS,
    )
    # Over gRPC too nobody loads or unloads models.
    server.model_repository_extension = _NoRepository()
    app.include_router(inference_router(server.dataplane))
    if feedback is not None:
        app.include_router(feedback_router(feedback, metrics, taken))
    for router in routers:
        app.include_router(router)
    server_errors.install(app, metrics)
    app.openapi = lambda: document(
        model.name, model.message, feedback=feedback is not None, tokens=tokens is not None
    )
    app.add_middleware(
        Guard, max_bytes=max_body_bytes, on_too_large=lambda: metrics.count(names.REJECTED, "body")
    )
    if tokens is not None:  # behind what follows alone, so that it comes before all else
        app.add_middleware(
            Auth, tokens=tokens, on_refused=lambda: metrics.count(names.REJECTED, "authorization")
        )
    # Last, so that it comes first and sees every answer.
    app.add_middleware(
        Responses,
        model="slates" if isinstance(model, PublicModel) else "decode",
        count=lambda endpoint, status: metrics.count(names.RESPONSES, endpoint, status),
    )
    server.start([model])


def debug_routers(
    config: DebugConfig, model_name: str, transformer: Transformer, served: Callable[[], Served]
) -> list[APIRouter]:
    """What is switched on of it, and a line in the log that says so."""
    routers = []
    if config.explorer:
        routers.append(explorer_router(model_name, served, config))
    if config.slate:
        routers.append(debug_router(transformer))
    if routers:
        logger.warning("event=debug_pages_on explorer=%s slate=%s", config.explorer, config.slate)
    return routers


class _NoRepository:
    async def load(self, model_name: str) -> Any:
        raise InvalidTensors("method", "path", "not served here")

    unload = load


def configure() -> None:
    """One line an event: KServe's line and three more a request are off."""
    config = copy.deepcopy(KSERVE_LOG_CONFIG)
    for name in ("kserve.trace", "uvicorn.access"):
        config["loggers"][name]["level"] = "WARNING"
    config["loggers"]["higr"] = {"handlers": ["kserve"], "level": "INFO", "propagate": False}
    configure_logging(config)
