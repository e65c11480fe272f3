"""`POST /v1/feedback`: what became of the items that were shown."""

from collections.abc import Callable, Sequence
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from higr import metrics as names
from serving.feedback_log import FeedbackLog
from serving.metrics import Metrics
from serving.schemas import FeedbackEvent, FeedbackRequest, FeedbackResponse, parse


def feedback_router(
    log: FeedbackLog, metrics: Metrics, taken: Callable[[Sequence[FeedbackEvent]], None] | None = None
) -> APIRouter:
    """The endpoint. It answers when the events are on disk; 503 when they cannot be, and then none is.

    Args:
        taken: called with events that are on disk, with those too that were there before. Must not wait.
    """
    router = APIRouter()

    @router.post("/v1/feedback")
    async def take(request: Request) -> JSONResponse:
        events = parse(FeedbackRequest, await request.body()).events
        try:
            accepted = await log.add(events)
        except OSError:
            metrics.count(names.FEEDBACK_EVENTS, "refused", times=len(events))
            message = {"error": "the events cannot be kept now; send them again"}
            return JSONResponse(message, HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "5"})
        if taken is not None:
            taken(events)
        repeated = len(events) - accepted
        metrics.count(names.FEEDBACK_EVENTS, "accepted", times=accepted)
        metrics.count(names.FEEDBACK_EVENTS, "repeated", times=repeated)
        return JSONResponse(FeedbackResponse(accepted=accepted, repeated=repeated).model_dump())

    return router
