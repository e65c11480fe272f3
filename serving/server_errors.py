"""What a client is told of each error over HTTP: the field at fault, and nothing of what is inside."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve.protocol.rest import server as rest
from starlette.exceptions import HTTPException

from higr import metrics as names
from serving.failures import log_failure
from serving.metrics import Metrics
from serving.schemas import RequestError


def install(app: FastAPI, metrics: Metrics) -> None:
    """In the place of KServe's, which send the text of any exception to the client and log a trace."""

    def refuse(status: int, error: str, path: str, field: str) -> JSONResponse:
        metrics.count(names.REJECTED, field)
        return JSONResponse({"error": error, "field": path}, status)

    async def bad_request(request: Request, error: RequestError) -> JSONResponse:
        return refuse(HTTPStatus.BAD_REQUEST, str(error), error.path, error.field)

    async def bad_body(request: Request, error: Exception) -> JSONResponse:
        return refuse(HTTPStatus.BAD_REQUEST, "body: it cannot be taken", "body", "body")

    async def no_model(request: Request, error: Exception) -> JSONResponse:
        return refuse(HTTPStatus.NOT_FOUND, "path: no such model", "path", "path")

    async def not_served(request: Request, error: HTTPException) -> JSONResponse:
        field = "method" if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else "path"
        phrase = HTTPStatus(error.status_code).phrase.lower()
        answer = refuse(error.status_code, f"{field}: {phrase}", field, field)
        answer.headers.update(error.headers or {})
        return answer

    async def not_here(request: Request, error: Exception) -> JSONResponse:
        return refuse(HTTPStatus.NOT_FOUND, "path: not served here", "path", "path")

    async def not_ready(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "not ready"}, HTTPStatus.SERVICE_UNAVAILABLE)

    async def late(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "deadline passed"}, HTTPStatus.GATEWAY_TIMEOUT)

    async def failed(request: Request, error: Exception) -> JSONResponse:
        log_failure(error)
        return JSONResponse({"error": "internal error"}, HTTPStatus.INTERNAL_SERVER_ERROR)

    app.add_exception_handler(RequestError, bad_request)  # type: ignore[arg-type]
    app.add_exception_handler(TimeoutError, late)
    app.add_exception_handler(RequestValidationError, bad_body)
    app.add_exception_handler(HTTPException, not_served)  # type: ignore[arg-type]
    rest.invalid_input_handler = rest.inference_error_handler = bad_body
    rest.model_not_found_handler = no_model
    rest.not_implemented_error_handler = rest.unsupported_protocol_error_handler = not_here
    rest.model_not_ready_handler = rest.server_not_ready_handler = rest.server_not_live_handler = not_ready
    rest.generic_exception_handler = failed
